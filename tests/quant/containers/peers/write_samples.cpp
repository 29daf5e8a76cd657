// Writes models of every kind in containers of others, and what their weights are, for programs of others to
// read.
//
//   write_samples DIR
// DIR/<container>/ holds the files of the container, DIR/<container>.values/<module>.f32 the weight of each
// layer: float32, row-major.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "quant/containers/container.h"
#include "tests/quant/containers/sample_weights.h"

namespace {

namespace fs = std::filesystem;
using bitlaw::quant::Container;
using bitlaw::quant::PackedModel;

struct Sample {
  Container container;
  bool widen;
  std::vector<std::string> specs;
};

const std::vector<Sample>& samples() {
  static const std::vector<std::string> integers = {
      "int2.g64.sym",  "int3.g64.sym",    "int4.g64.sym",        "int5.g64.sym",     "int6.g64.sym",
      "int7.g64.sym",  "int8.g64.sym",    "int2.g32.asym",       "int3.g32.asym",    "int4.g32.asym",
      "int5.g32.asym", "int8.g32.asym",   "int4.channel.asym",   "int3.channel.sym", "int4.tensor.sym",
      "int2h.g64.sym", "ternary.g64.sym", "int4.g64.sym.float32"};
  static const std::vector<std::string> floats = {
      "e2m1.g32.sym.e8m0", "e2m1.g16.sym.e4m3", "e2m3.g32.sym.e8m0", "e4m3.g32.sym.e8m0",
      "e4m3.channel.sym",  "e4m3.tensor.sym",   "e4m3.b32x64.sym"};
  static const std::vector<std::string> gptq = {"int2.g64.sym",      "int3.g64.sym",  "int4.g64.sym",
                                                "int8.g64.sym",      "int3.g32.asym", "int4.g32.asym",
                                                "int8.channel.asym", "int2h.g64.sym", "ternary.g64.sym"};
  static const std::vector<Sample> all = {
      {Container::compressed_tensors, true, integers},
      {Container::compressed_tensors_0_17, true, integers},
      {Container::gptq, true, gptq},
      {Container::gptq_v2, true, gptq},
      {Container::awq,
       true,
       {"int4.g64.sym", "int4.g32.asym", "int3.g64.sym", "int2h.g64.sym", "int4.channel.sym"}},
      {Container::gguf,
       true,
       {"int4.g64.sym", "int5.g32.sym", "int8.g64.sym", "int3.g64.sym", "int2h.g64.sym", "int4.g32.asym",
        "int4h.g32.sym", "ternary.g256.sym", "e2m1.g32.sym.e8m0", "e2m1.g16.sym.e4m3"}}};
  static const std::vector<Sample> with_floats = [] {
    std::vector<Sample> list = all;
    list.front().specs.insert(list.front().specs.end(), floats.begin(), floats.end());
    return list;
  }();
  return with_floats;
}

std::string module_of(const std::string& spec) {
  std::string name = "layer." + spec;
  for (std::size_t i = 6; i < name.size(); ++i) {
    name[i] = name[i] == '.' ? '_' : name[i];
  }
  return name;
}

void write_values(const fs::path& path, const std::vector<float>& values) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(values.data()),
             static_cast<std::streamsize>(values.size() * sizeof(float)));
}

void write_sample(const fs::path& folder, const Sample& sample) {
  PackedModel model;
  for (const std::string& spec : sample.specs) {
    model.weights.emplace(module_of(spec), bitlaw::tests::sample_weight(spec, 64, 256));
  }
  model.attributes = {{"config", "model: {family: var}\n"}};
  const std::string name(bitlaw::data::enum_name(sample.container));
  fs::create_directories(folder / name);
  fs::create_directories(folder / (name + ".values"));
  bitlaw::quant::write_model(folder / name, model, {sample.container, sample.widen});
  for (const auto& [module, packed] : model.weights) {
    write_values(folder / (name + ".values") / (module + ".f32"), bitlaw::quant::dequantise(packed));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_samples DIR\n");
    return 2;
  }
  for (const Sample& sample : samples()) {
    write_sample(argv[1], sample);
  }
  return 0;
}
