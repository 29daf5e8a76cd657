// Models in GGUF files: what the blocks, names and keys mean, beyond where they lie (gguf_fuzz.cpp).
#include "quant/containers/gguf.h"
#include "tests/fuzz/model_check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  return bitlaw::fuzz::over_file(bytes, size, [](const std::filesystem::path& path) {
    const bitlaw::quant::GgufContents contents = bitlaw::quant::load_gguf(path);
    bitlaw::fuzz::check_model([&] { return bitlaw::quant::read_gguf(contents, "fuzz"); });
  });
}
