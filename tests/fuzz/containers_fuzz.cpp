// Quantised models of others: compressed-tensors, GPTQ and AWQ, each of a configuration and a safetensors
// file.
//
// The input is u32 length (little-endian) | config.json of that length | model.safetensors. All readers take
// it.
#include "quant/containers/awq.h"
#include "quant/containers/compressed_tensors.h"
#include "quant/containers/gptq.h"
#include "tests/fuzz/model_check.h"

namespace {

using namespace bitlaw::quant;

void read_all(const ModelFolder& contents) {
  using bitlaw::fuzz::check_model;
  check_model([&] { return read_compressed_tensors(contents, "fuzz"); });
  check_model([&] { return read_compressed_tensors(contents, "fuzz", WordLayout::words); });
  check_model([&] { return read_gptq(contents, "fuzz"); });
  check_model([&] { return read_awq(contents, "fuzz"); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size < 4) {
    return 0;
  }
  const std::size_t stated = bytes[0] | static_cast<std::size_t>(bytes[1]) << 8U;
  const std::size_t length = std::min(stated, size - 4);
  const std::string config(reinterpret_cast<const char*>(bytes) + 4, length);
  return bitlaw::fuzz::over_file(bytes + 4 + length, size - 4 - length,
                                 [&](const std::filesystem::path& path) {
                                   read_all({bitlaw::data::read_safetensors(path),
                                             {{"config.json", config}, {"quantize_config.json", config}}});
                                 });
}
