#include "launch/model_export.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/utils.h>

#include <cstring>
#include <utility>
#include <vector>

#include "data/formats/input_error.h"
#include "launch/commands/command.h"
#include "launch/export_origin.h"
#include "launch/proof_outputs.h"
#include "quant/containers/model_state.h"
#include "quant/containers/native.h"
#include "quant/containers/unproved_files.h"
#include "quant/prepare.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void differ(const std::string& what) {
  throw VerifyError(what + " [the file would not be the model that was trained]; do not use it, report this");
}

quant::RestType rest_type(const LoadedModel& model) {
  return model.origin.config.quant.method == quant::Method::none ? quant::RestType::float32
                                                                 : model.origin.config.quant.rest_dtype;
}

quant::PackedModel pack(const LoadedModel& trained) {
  quant::PackedModel packed = quant::pack_model(*trained.model, rest_type(trained));
  put_origin(packed, trained.origin);
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
  if (!(trained == stored)) {  // two-sided and global scales, real zero points, the input's transform
    differ(fmt::format("weights/{}: another member than codes, scale and zero_point differs", name));
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

void compare_outputs(const LoadedModel& trained, const LoadedModel& rebuilt, VerifyReport& report) {
  const auto ours = proof_outputs(*trained.model, trained.origin.num_classes);
  const auto theirs = proof_outputs(*rebuilt.model, rebuilt.origin.num_classes);
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
  quant::UnprovedFiles files(file.parent_path());
  const fs::path unproved = files.add(file.filename());
  quant::write_native(unproved, pack(trained));
  const VerifyReport report = verify_model(trained, load_model(unproved));
  files.publish();
  return report;
}

ExportSize export_size(const LoadedModel& stored) {
  return {quant::count_bits(packed_of(stored)), fs::file_size(stored.origin.path)};
}

}  // namespace bitlaw::launch
