#include "data/formats/torch_archive.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "data/formats/crc32.h"
#include "data/formats/input_error.h"
#include "data/formats/tensor_name.h"
#include "data/formats/torch_tensors.h"

namespace bitlaw::data {

namespace {

constexpr std::uint64_t kLongestByteOrder = 16;
constexpr const char* kSaveAgain =
    "load it with PyTorch and write it again: torch.save(torch.load(old, map_location='cpu'), new)";

// Files that users have and that are no zip archives.
void refuse_other_formats(const std::filesystem::path& path) {
  const FileHandle file = open_for_reading(path);
  std::array<std::byte, 512> head{};
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(head.size(), file_size(file, path)));
  read_fully(file, std::span(head).first(size), 0, path);
  const auto begins = [&](std::size_t offset, std::string_view with) {
    return offset + with.size() <= size && std::memcmp(head.data() + offset, with.data(), with.size()) == 0;
  };
  if (begins(0, "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")) {
    throw InputError(path.string() + " is in the old format of torch.save, from before PyTorch 1.6",
                     "only the zip format is read", kSaveAgain);
  }
  if (begins(257, "ustar")) {
    throw InputError(path.string() + " is in the oldest format of torch.save, a tar archive",
                     "only the zip format is read", kSaveAgain);
  }
  if (begins(0, "\x80")) {
    throw InputError(path.string() + " is a bare pickle", "only the zip format of torch.save is read",
                     kSaveAgain);
  }
  if (!begins(0, "PK")) {
    throw InputError(path.string() + " does not begin as a file of torch.save",
                     "such a file is a zip archive",
                     "name a .pth or .pt file that torch.save wrote, or a .safetensors file");
  }
}

// The one folder of the archive, with its '/'.
std::string folder_of(const ZipArchive& archive) {
  constexpr std::string_view kPickle = "data.pkl";
  std::string folder;
  for (const auto& [name, entry] : archive.entries()) {
    const std::size_t slash = name.find('/');
    if (slash != std::string::npos && name.substr(slash + 1) == kPickle) {
      if (!folder.empty()) {
        throw InputError(archive.path().string() + ": two pickles, " + printable(folder) + "data.pkl and " +
                             printable(name),
                         "torch.save writes one", "get the file again from where it came");
      }
      folder = name.substr(0, slash + 1);
    }
  }
  if (folder.empty()) {
    throw InputError(archive.path().string() + ": there is no data.pkl in it",
                     "a zip archive without one is not from torch.save", "name a .pth or .pt file");
  }
  if (archive.find(folder + "constants.pkl") != nullptr) {
    throw InputError(archive.path().string() + " is a TorchScript program", "programs are never loaded",
                     "save its weights: torch.save(torch.jit.load(old).state_dict(), new)");
  }
  return folder;
}

void check_byte_order(const ZipArchive& archive, const std::string& folder) {
  const std::string name = folder + "byteorder";
  if (archive.find(name) == nullptr) {
    return;  // files from before PyTorch 2.1: little-endian everywhere
  }
  std::string order;
  for (const std::byte byte : archive.read(name, kLongestByteOrder)) {
    order.push_back(static_cast<char>(byte));
  }
  if (order != "little") {
    throw InputError(archive.path().string() + ": its numbers are in byte order '" + printable(order) + "'",
                     "only 'little' is read",
                     "load it with PyTorch on a little-endian machine and save it again");
  }
}

bool is_contiguous(const TorchTensorEntry& entry) {
  std::int64_t expected = 1;
  for (std::size_t i = entry.shape.size(); i-- > 0;) {
    if (entry.shape[i] != 1 && entry.stride[i] != expected) {
      return false;
    }
    expected *= entry.shape[i];
  }
  return true;
}

std::uint64_t last_element(const TorchTensorEntry& entry) {
  std::uint64_t last = entry.offset;
  for (std::size_t i = 0; i < entry.shape.size(); ++i) {
    last += static_cast<std::uint64_t>(entry.shape[i] - 1) * static_cast<std::uint64_t>(entry.stride[i]);
  }
  return last;
}

// Elements of `from`, which begins at the view's first element, in the order of the view.
void gather(const TorchTensorEntry& entry, std::span<const std::byte> from, std::span<std::byte> into) {
  const std::size_t width = size_of(entry.dtype);
  const std::size_t dims = entry.shape.size();
  std::vector<std::int64_t> index(dims, 0);
  std::size_t source = 0;  // elements
  for (std::size_t done = 0; done < into.size(); done += width) {
    std::memcpy(into.data() + done, from.data() + source * width, width);
    for (std::size_t i = dims; i-- > 0;) {
      const auto stride = static_cast<std::size_t>(entry.stride[i]);
      source += stride;
      if (++index[i] < entry.shape[i]) {
        break;
      }
      source -= stride * static_cast<std::size_t>(entry.shape[i]);
      index[i] = 0;
    }
  }
}

}  // namespace

TorchArchive::TorchArchive(const std::filesystem::path& path) : archive_((refuse_other_formats(path), path)) {
  const std::string folder = folder_of(archive_);
  check_byte_order(archive_, folder);
  const std::string name = folder + "data.pkl";
  const std::vector<std::byte> pickle = archive_.read(name, kLargestPickle);
  const PickleGraph graph = read_pickle(pickle, torch_globals(), path.string() + ": " + printable(name));
  tensors_ = torch_tensors(graph, archive_, folder);
}

const TorchTensorEntry& TorchArchive::entry(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    throw InputError(path().string() + ": tensor '" + printable(name) + "' is missing", "it is to be read",
                     "check that this is the file of that model");
  }
  return found->second;
}

void TorchArchive::verify_once(const std::string& storage) const {
  {
    const std::lock_guard lock(mutex_);
    if (verified_.count(storage) != 0) {
      return;
    }
  }
  archive_.verify(storage);
  const std::lock_guard lock(mutex_);
  verified_.insert(storage);
}

RawTensor TorchArchive::read(const std::string& name) const {
  const TorchTensorEntry& found = entry(name);
  const std::size_t width = size_of(found.dtype);
  RawTensor tensor{found.dtype, found.shape, std::vector<std::byte>(*byte_count(found.dtype, found.shape))};
  if (tensor.bytes.empty()) {
    return tensor;
  }
  if (is_contiguous(found)) {
    archive_.read_range(found.storage, found.offset * width, tensor.bytes);
    if (tensor.bytes.size() == archive_.find(found.storage)->size) {
      archive_.check_crc(found.storage, crc32(tensor.bytes));
    } else {
      verify_once(found.storage);
    }
    return tensor;
  }
  verify_once(found.storage);
  std::vector<std::byte> span((last_element(found) - found.offset + 1) * width);
  archive_.read_range(found.storage, found.offset * width, span);
  gather(found, span, tensor.bytes);
  return tensor;
}

}  // namespace bitlaw::data
