// Files of format GGUF.
#include "data/formats/gguf_file.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  return bitlaw::fuzz::over_file(bytes, size, [&](const std::filesystem::path& path) {
    const bitlaw::data::GgufReader reader(path);
    std::uint64_t total = 0;
    for (const bitlaw::data::GgufTensorInfo& info : reader.header().tensors) {
      const std::vector<std::byte> blocks = reader.read(info.name);
      bitlaw::fuzz::require(blocks.size() == ggml_byte_count(info.type, info.dims));
      total += blocks.size();
    }
    bitlaw::fuzz::require(total <= size);
  });
}
