// The program bitlaw.
#include <malloc.h>

#include <csignal>
#include <cstdio>

#include "launch/cli.h"
#include "trainer/stop_signal.h"

namespace {

// Tensors of a step are freed and asked for again at every step. glibc gives blocks above 32 MiB back to the
// kernel at once, and the kernel clears every page anew, which costs a PyTorch step on a virtual machine a
// tenth (docs/benchmarks/qat_step.md). So memory is kept; the resident size stays at the largest that was
// needed.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 0x7fffffff);
  mallopt(M_TOP_PAD, 64 << 20);
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // in a pipe too, results and errors come in their order
  std::signal(SIGXFSZ, SIG_IGN);  // a file over the limit is an error of the write, with a message
  bitlaw::trainer::install_stop_signals();
  return bitlaw::launch::run_program(argc, argv);
}
