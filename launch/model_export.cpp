#include "launch/model_export.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/utils.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "data/formats/input_error.h"
#include "data/seed.h"
#include "launch/commands/command.h"
#include "quant/containers/model_state.h"
#include "quant/containers/native.h"
#include "quant/prepare.h"
#include "trainer/config/writer.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kProofSeed = 20250106;

// Removes the file unless the proof succeeded.
class UnverifiedFile {
 public:
  explicit UnverifiedFile(fs::path path) : path_(std::move(path)) {}
  UnverifiedFile(const UnverifiedFile&) = delete;
  UnverifiedFile& operator=(const UnverifiedFile&) = delete;
  ~UnverifiedFile() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

[[noreturn]] void differ(const std::string& what) {
  throw VerifyError(what + " [the file would not be the model that was trained]; do not use it, report this");
}

quant::RestType rest_type(const LoadedModel& model) {
  return model.origin.config.quant.method == quant::Method::none ? quant::RestType::float32
                                                                 : model.origin.config.quant.rest_dtype;
}

std::string source_json(const ModelOrigin& origin) {
  nlohmann::ordered_json json;
  json["run"] = origin.config.run.name;
  json["step"] = origin.step;
  json["parameter_hash"] = origin.parameter_hash;
  json["weights"] = name_of(origin.weights);
  json["num_classes"] = origin.num_classes;
  json["tokenizer_hash"] = origin.tokenizer_hash;
  return json.dump();
}

quant::PackedModel pack(const LoadedModel& trained) {
  quant::PackedModel packed = quant::pack_model(*trained.model, rest_type(trained));
  packed.attributes["config"] = trainer::write_config(trained.origin.config);
  packed.attributes["source"] = source_json(trained.origin);
  return packed;
}

std::vector<std::uint32_t> float_bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits(values.size());
  std::memcpy(bits.data(), values.data(), values.size() * sizeof(float));
  return bits;
}

void compare_packed(const std::string& name, const quant::PackedTensor& trained,
                    const quant::PackedTensor& stored) {
  if (!(trained.spec == stored.spec)) {
    differ(fmt::format("weights/{}: spec {} in the file, {} in the run", name, stored.spec.to_string(),
                       trained.spec.to_string()));
  }
  if (trained.codes != stored.codes) {
    differ(fmt::format("weights/{}: codes differ", name));
  }
  if (float_bits(trained.scale) != float_bits(stored.scale) || trained.zero_point != stored.zero_point) {
    differ(fmt::format("weights/{}: scales or zero points differ", name));
  }
}

template <class Map, class Compare>
void compare_maps(const Map& trained, const Map& stored, const char* group, const Compare& compare) {
  for (const auto& [name, value] : trained) {
    const auto found = stored.find(name);
    if (found == stored.end()) {
      differ(fmt::format("{}/{}: missing in the file", group, name));
    }
    compare(name, value, found->second);
  }
  for (const auto& [name, value] : stored) {
    if (trained.count(name) == 0) {
      differ(fmt::format("{}/{}: in the file, but not in the run", group, name));
    }
  }
}

void compare_contents(const quant::PackedModel& trained, const quant::PackedModel& stored) {
  compare_maps(trained.weights, stored.weights, "weights", compare_packed);
  compare_maps(trained.tensors, stored.tensors, "tensors",
               [](const std::string& name, const data::RawTensor& a, const data::RawTensor& b) {
                 if (a.dtype != b.dtype || a.shape != b.shape || a.bytes != b.bytes) {
                   differ(fmt::format("tensors/{}: values differ", name));
                 }
               });
  compare_maps(trained.activations, stored.activations, "activations",
               [](const std::string& name, const quant::PackedInput& a, const quant::PackedInput& b) {
                 if (!(a == b)) {
                   differ(fmt::format("activations/{}: spec, scale or zero point differs", name));
                 }
               });
}

bool equal_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && at::equal(a.contiguous().view(at::kInt), b.contiguous().view(at::kInt));
}

// Fake-quantised weights of the trained network against the weights that the file's network multiplies.
void compare_weights(torch::nn::Module& trained, torch::nn::Module& rebuilt, VerifyReport& report) {
  const auto ours = quant::linear_layers(trained);
  const auto theirs = quant::linear_layers(rebuilt);
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const auto& [name, layer] = ours[i];
    const at::Tensor a = layer->effective_weight();
    const at::Tensor b = theirs[i].second->effective_weight();
    if (!equal_bits(a, b)) {
      const auto worst = (a - b).abs().max().item<double>();
      differ(fmt::format("{}: dequantised weights differ from the trained forward by up to {}", name, worst));
    }
    if (layer->weight_quantizer()) {
      ++report.packed_layers;
      report.packed_values += a.numel();
    }
  }
}

at::Tensor noise(at::IntArrayRef shape, std::uint64_t sample) {
  at::Tensor values = at::empty(shape, at::kFloat);
  const data::RandomKey key{kProofSeed, data::Purpose::synthetic, 0, sample};
  data::fill_normal(key, {values.data_ptr<float>(), static_cast<std::size_t>(values.numel())});
  return values;
}

std::vector<at::Tensor> outputs_of(torch::nn::Module& model, const ModelOrigin& origin) {
  if (auto* var = dynamic_cast<distill::Var*>(&model)) {
    const distill::VarShape& shape = var->shape();
    const std::int64_t first = shape.patch_nums.front() * shape.patch_nums.front();
    const std::int64_t rest = distill::token_count(shape.patch_nums) - first;
    const at::Tensor labels =
        at::arange(2, at::kLong).remainder(std::max<std::int64_t>(origin.num_classes, 1));
    return {var->forward(labels, noise({2, rest, shape.latent_channels}, 0))};
  }
  auto& tokenizer = dynamic_cast<distill::VqTokenizer&>(model);
  const std::int64_t side = tokenizer.image_side();
  const at::Tensor images = noise({2, tokenizer.config().image_channels, side, side}, 1).clamp(-1, 1);
  const at::Tensor tokens = tokenizer.encode(images);
  const auto last = static_cast<std::int64_t>(tokenizer.config().patch_nums.size()) - 1;
  return {tokens, tokenizer.decode(tokenizer.quantizer().accumulate(tokens, last))};
}

void compare_outputs(const LoadedModel& trained, const LoadedModel& rebuilt, VerifyReport& report) {
  const auto ours = outputs_of(*trained.model, trained.origin);
  const auto theirs = outputs_of(*rebuilt.model, rebuilt.origin);
  for (std::size_t i = 0; i < ours.size(); ++i) {
    if (!at::equal(ours[i], theirs[i])) {
      differ("the network rebuilt from the file gives other outputs than the trained one");
    }
  }
  const auto sizes = ours.back().sizes();
  report.outputs = fmt::format("outputs [{}]", fmt::join(sizes.begin(), sizes.end(), ", "));
}

const quant::PackedModel& packed_of(const LoadedModel& stored) {
  if (!stored.packed) {
    throw data::InputError(fmt::format("{}: is no exported file", stored.origin.path.string()),
                           "only packed codes can be compared with a run", "name an exported model.h5");
  }
  return *stored.packed;
}

// A file of another run differs everywhere; that is no fault of the file.
void require_same_source(const ModelOrigin& trained, const ModelOrigin& stored) {
  if (stored.parameter_hash != trained.parameter_hash) {
    throw VerifyError(
        fmt::format("{} was made of {} at step {} (parameter_hash {}), not of {} at step {} ({}) [it is "
                    "another model]; name the "
                    "run or checkpoint that it was made of",
                    stored.path.string(), stored.config.run.name, stored.step, stored.parameter_hash,
                    trained.config.run.name, trained.step, trained.parameter_hash));
  }
}

}  // namespace

std::string VerifyReport::to_string() const {
  return fmt::format(
      "{} packed layers ({} weights) and {} other tensors are equal to the bit; the network rebuilt from the "
      "file alone "
      "gives the same {}",
      packed_layers, packed_values, other_tensors, outputs);
}

VerifyReport verify_model(const LoadedModel& trained, const LoadedModel& stored) {
  const at::NoGradGuard no_grad;
  VerifyReport report;
  const quant::PackedModel& packed = packed_of(stored);
  require_same_source(trained.origin, stored.origin);
  compare_contents(quant::pack_model(*trained.model, rest_type(trained)), packed);
  report.other_tensors = static_cast<std::int64_t>(packed.tensors.size());
  compare_weights(*trained.model, *stored.model, report);
  compare_outputs(trained, stored, report);
  report.size = export_size(stored);
  return report;
}

VerifyReport export_model(const LoadedModel& trained, const fs::path& file) {
  const at::NoGradGuard no_grad;
  const UnverifiedFile unverified(file.string() + ".unverified");
  quant::write_native(unverified.path(), pack(trained));
  const VerifyReport report = verify_model(trained, load_model(unverified.path()));
  fs::rename(unverified.path(), file);
  return report;
}

ExportSize export_size(const LoadedModel& stored) {
  return {quant::count_bits(packed_of(stored)), fs::file_size(stored.origin.path)};
}

}  // namespace bitlaw::launch
