// The pickle inside a file of torch.save: the input is data.pkl, beside storages of fixed sizes, so that no
// checksum stands between the fuzzer and the pickle machine.
#include "data/formats/torch_archive.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/zip_bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using bitlaw::test::ZipPart;
  std::vector<ZipPart> parts = {{"m/data.pkl", {reinterpret_cast<const char*>(bytes), size}}};
  for (const std::size_t storage : {24U, 48U, 96U, 4U, 8U, 16U}) {
    parts.push_back({"m/data/" + std::to_string(parts.size() - 1), std::string(storage, 's')});
  }
  const std::string archive_bytes = bitlaw::test::zip_bytes(parts);
  return bitlaw::fuzz::over_file(
      reinterpret_cast<const std::uint8_t*>(archive_bytes.data()), archive_bytes.size(),
      [](const std::filesystem::path& path) {
        const bitlaw::data::TorchArchive archive(path);
        for (const auto& [name, entry] : archive.tensors()) {
          const bitlaw::data::RawTensor tensor = archive.read(name);
          bitlaw::fuzz::require(tensor.bytes.size() == byte_count(tensor.dtype, tensor.shape));
        }
      });
}
