// Files of torch.save.
#include "data/formats/torch_archive.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  return bitlaw::fuzz::over_file(bytes, size, [&](const std::filesystem::path& path) {
    const bitlaw::data::TorchArchive archive(path);
    std::uint64_t shown = 0;
    for (const auto& [name, entry] : archive.tensors()) {
      const bitlaw::data::RawTensor tensor = archive.read(name);
      bitlaw::fuzz::require(tensor.bytes.size() == byte_count(tensor.dtype, tensor.shape));
      shown += tensor.bytes.size();
      const std::uint64_t count = tensor.bytes.size() / size_of(tensor.dtype);
      bitlaw::fuzz::require(count <= std::max<std::uint64_t>(size, bitlaw::data::kLargestRepeatedView));
    }
    bitlaw::fuzz::require(shown <= bitlaw::data::most_shown_bytes(size));
  });
}
