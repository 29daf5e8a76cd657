// Files of format safetensors.
#include "data/formats/safetensors.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  return bitlaw::fuzz::over_file(bytes, size, [&](const std::filesystem::path& path) {
    const bitlaw::data::SafetensorsReader reader(path);
    std::uint64_t total = 0;
    for (const auto& [name, entry] : reader.tensors()) {
      const bitlaw::data::RawTensor tensor = reader.read(name);
      bitlaw::fuzz::require(tensor.bytes.size() == byte_count(tensor.dtype, tensor.shape));
      total += tensor.bytes.size();
    }
    bitlaw::fuzz::require(total <= size);
  });
}
