// Reads checkpoints at any world size, and finds the newest one that is whole.
#include <ATen/ATen.h>

#include <algorithm>

#include "data/formats/input_error.h"
#include "data/formats/tensor_io.h"
#include "trainer/checkpoint.h"
#include "trainer/checkpoint/layout.h"
#include "trainer/checkpoint/manifest.h"

namespace bitlaw::trainer {

namespace {

namespace fs = std::filesystem;

// Elements of each tensor that this part holds, into their places.
void read_part(const fs::path& path, int rank, const Manifest& manifest,
               std::map<std::string, at::Tensor>& tensors) {
  const data::TensorFile file = data::TensorFile::open(path);
  for (auto& [name, tensor] : tensors) {
    const ManifestTensor& wanted = manifest.tensors.at(name);
    const Share share = share_of(tensor.numel(), rank, manifest.world_size());
    if (share.count == 0) {
      continue;
    }
    const data::TensorInfo& info = file.info(name);
    if (info.dtype != wanted.dtype || info.element_count() != share.count) {
      throw data::InputError(
          path.string() + ": tensor " + name + " is not the one that the manifest describes",
          "a checkpoint is used whole or not at all", "resume from another checkpoint");
    }
    const std::size_t size = data::size_of(info.dtype);
    auto* begin = static_cast<std::byte*>(tensor.data_ptr()) + static_cast<std::size_t>(share.first) * size;
    file.read(name, {begin, static_cast<std::size_t>(share.count) * size});
  }
}

bool begins_with_any(const std::string& name, const std::vector<std::string>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&name](const std::string& prefix) { return name.rfind(prefix, 0) == 0; });
}

void verify(const fs::path& checkpoint, const Manifest& manifest) {
  for (const ManifestPart& part : manifest.parts) {
    verify_part(checkpoint, part);
  }
}

}  // namespace

std::vector<std::int64_t> committed_steps(const fs::path& folder, std::vector<std::string>* ignored) {
  const FolderContent content = list_checkpoints(folder);
  if (ignored != nullptr) {
    for (const fs::path& path : content.unfinished) {
      ignored->push_back(path.string());
    }
  }
  return content.committed;
}

fs::path checkpoint_path(const fs::path& folder, std::int64_t step) {
  return folder / step_folder_name(step);
}

CheckpointState read_checkpoint(const fs::path& checkpoint) {
  return read_checkpoint(checkpoint, {""});
}

CheckpointState read_checkpoint(const fs::path& checkpoint, const std::vector<std::string>& prefixes,
                                Parts parts) {
  const Manifest manifest = read_manifest(checkpoint);
  if (parts == Parts::to_verify) {
    verify(checkpoint, manifest);
  }
  CheckpointState state;
  state.step = manifest.step;
  state.texts = manifest.texts;
  for (const auto& [name, tensor] : manifest.tensors) {
    if (!begins_with_any(name, prefixes)) {
      continue;
    }
    state.tensors.emplace(name, at::empty(tensor.shape, data::scalar_type_of(tensor.dtype)));
  }
  for (int rank = 0; rank < manifest.world_size(); ++rank) {
    read_part(checkpoint / manifest.parts[static_cast<std::size_t>(rank)].file, rank, manifest,
              state.tensors);
  }
  return state;
}

std::map<std::string, std::string> read_checkpoint_texts(const fs::path& checkpoint) {
  return read_manifest(checkpoint).texts;
}

NewestCheckpoint newest_whole_checkpoint(const fs::path& folder) {
  NewestCheckpoint newest;
  const FolderContent content = list_checkpoints(folder);
  for (const fs::path& path : content.unfinished) {
    newest.skipped.push_back(path.string() + " is ignored: it was never finished");
  }
  for (auto step = content.committed.rbegin(); step != content.committed.rend(); ++step) {
    const fs::path path = checkpoint_path(folder, *step);
    try {
      verify(path, read_manifest(path));
      newest.path = path;
      return newest;
    } catch (const data::InputError& error) {
      newest.skipped.push_back(path.string() + " is passed over: " + error.what());
    }
  }
  if (!content.committed.empty()) {
    std::string what = folder.string() + ": none of its checkpoints is whole";
    for (const std::string& line : newest.skipped) {
      what += "\n  " + line;
    }
    throw data::InputError(what + "\n", "starting again would throw the run away",
                           "repair one of them from a copy, or choose another run.name");
  }
  return newest;
}

}  // namespace bitlaw::trainer
