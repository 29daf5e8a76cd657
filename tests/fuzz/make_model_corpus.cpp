// Makes the corpora of containers_fuzz and gguf_model_fuzz with our own writers.
//
//   make_model_corpus FOLDER     FOLDER/containers/<name> and FOLDER/gguf_model/<name>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "quant/containers/container.h"
#include "tests/quant/containers/sample_weights.h"
#include "tests/support/file_bytes.h"
#include "tests/support/temporary_folder.h"

namespace {

using bitlaw::quant::Container;
using bitlaw::quant::PackedModel;

struct Sample {
  const char* name;
  Container container;
  std::vector<std::string> specs;
};

const std::vector<Sample>& samples() {
  static const std::vector<Sample> all = {
      {"ct_symmetric", Container::compressed_tensors, {"int4.g32.sym", "int3.channel.sym"}},
      {"ct_asymmetric", Container::compressed_tensors, {"int4.g32.asym", "int8.tensor.sym"}},
      {"ct_nvfp4", Container::compressed_tensors, {"e2m1.g16.sym.e4m3"}},
      {"ct_mxfp4", Container::compressed_tensors, {"e2m1.g32.sym.e8m0", "e2m3.g32.sym.e8m0"}},
      {"ct_float8", Container::compressed_tensors, {"e4m3.channel.sym"}},
      {"ct_old", Container::compressed_tensors_0_17, {"int3.g32.asym"}},
      {"gptq", Container::gptq, {"int4.g32.sym", "int3.g32.asym"}},
      {"gptq_v2", Container::gptq_v2, {"int2.g32.sym"}},
      {"awq", Container::awq, {"int4.g32.asym"}},
      {"gguf_integers", Container::gguf, {"int4.g32.sym", "int5.g32.sym", "int8.g32.sym", "int4.g32.asym"}},
      {"gguf_floats", Container::gguf, {"e2m1.g32.sym.e8m0", "e2m1.g16.sym.e4m3"}}};
  return all;
}

std::string bytes_of(const Sample& sample) {
  PackedModel model;
  for (const std::string& spec : sample.specs) {
    const std::string name = "m" + std::to_string(model.weights.size());
    model.weights.emplace(name, bitlaw::tests::sample_weight(spec, 32, 64));
  }
  model.tensors["bias"] = {bitlaw::data::DType::float32, {1}, std::vector<std::byte>(4)};
  const bitlaw::test::TemporaryFolder folder;
  bitlaw::quant::write_model(folder.path(), model, {sample.container, true});
  if (sample.container == Container::gguf) {
    return bitlaw::test::read_bytes(folder / "model.gguf");
  }
  const std::string config = bitlaw::test::read_bytes(folder / "config.json");
  return bitlaw::test::little(static_cast<std::uint32_t>(config.size())) + config +
         bitlaw::test::read_bytes(folder / "model.safetensors");
}

}  // namespace

int main(int count, char** words) {
  if (count != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", words[0]);
    return 2;
  }
  for (const Sample& sample : samples()) {
    const bool is_gguf = sample.container == Container::gguf;
    const auto folder = std::filesystem::path(words[1]) / (is_gguf ? "gguf_model" : "containers");
    std::filesystem::create_directories(folder);
    bitlaw::test::write_bytes(folder / sample.name, bytes_of(sample));
  }
  return 0;
}
