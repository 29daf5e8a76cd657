// One start of a run at a time: the kernel's lock (flock) on <run>/lock, which says who holds it.
//
// It is released when its holder ends, however it ends. On NFS it holds between machines where the mount has
// locks (not nolock or local_lock), and that of a dead machine for as long as the server keeps its lease;
// where a file system has none, the incarnation number (trainer/checkpoint.h) still keeps two starts from
// committing into one folder. Torch-free. Rank 0 of a start has it; one thread uses it.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>

#include "data/formats/file_io.h"

namespace bitlaw::launch {

// How long a start waits for one that is just ending: on this machine, and on another one, which may be dead.
struct LockPatience {
  std::chrono::milliseconds here = std::chrono::seconds(5);
  std::chrono::milliseconds elsewhere = std::chrono::seconds(120);

  // No longer than half of `deadline`, so that whoever waits for the answer in a collective hears it.
  LockPatience within(std::chrono::milliseconds deadline) const;
};

class RunLock {
 public:
  // Takes it, in a folder that is there. InputError naming machine and process of the holder. A folder that
  // cannot be written or locked is no error here. `say`: called once, when it has to wait.
  void take(const std::filesystem::path& run, const std::function<void(const std::string&)>& say,
            const LockPatience& patience = {});
  bool is_held() const { return file_.is_open(); }

 private:
  data::FileHandle file_;
};

}  // namespace bitlaw::launch
