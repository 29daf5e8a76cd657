// Small published files of a VAR and of its tokenizer, and requests to import them.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "data/formats/safetensors.h"
#include "data/formats/tensor_io.h"
#include "distill/models/var.h"
#include "distill/models/vq_tokenizer.h"
#include "launch/weights_import.h"
#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::launch {

namespace fs = std::filesystem;
using Tensors = std::map<std::string, at::Tensor>;

constexpr std::int64_t kClasses = 5;

// The geometry of tests/distill/models/files, and a tokenizer of its scales.
inline trainer::RunConfig var_config() {
  trainer::RunConfig config;
  config.model.depth = 2;
  config.model.width = 16;
  config.model.num_heads = 2;
  return config;
}

inline trainer::RunConfig vq_config() {
  trainer::RunConfig config;
  config.model.family = distill::Family::vq;
  distill::VqConfig& vq = config.model.vq;
  vq.base_channels = 4;
  vq.channel_multipliers = {1, 2};
  vq.res_blocks = 1;
  vq.group_norm_groups = 4;
  vq.latent_channels = 8;
  vq.codebook_size = 32;
  vq.patch_nums = {1, 2, 3};
  vq.phi_convolutions = 3;
  vq.codebook = distill::CodebookTraining::gradient;
  return config;
}

inline std::string torch_file(const std::string& name) {
  return std::string(BITLAW_SOURCE_DIR) + "/tests/distill/models/files/" + name;
}

// All tensors of a published file: parameters, and the buffers that it carries beside them.
inline Tensors published_tensors(torch::nn::Module& model) {
  Tensors tensors;
  for (const auto& item : model.named_parameters()) {
    tensors.emplace(item.key(), item.value().detach());
  }
  for (const auto& item : model.named_buffers()) {
    tensors.emplace(item.key(), item.value());
  }
  return tensors;
}

inline void write_tensors(const fs::path& path, const Tensors& tensors) {
  data::SafetensorsFile file;
  for (const auto& [name, tensor] : tensors) {
    file.tensors.emplace(name, data::raw_tensor_of(tensor));
  }
  data::write_safetensors(path, file);
}

class WeightsImport : public testing::Test {
 protected:
  WeightsImport() : vq_(std::make_shared<distill::VqTokenizer>(vq_config().model.vq)) {
    distill::initialise(*vq_, 3);
    var_ = std::make_shared<distill::Var>(distill::var_shape(var_config().model, vq_->config(), kClasses));
    distill::initialise(*var_, 0.5, 4);
    write_tensors(vq_file(), published_tensors(*vq_));
    write_tensors(var_file(), published_tensors(*var_));
  }

  fs::path vq_file() const { return folder_ / "vq.safetensors"; }
  fs::path var_file() const { return folder_ / "var.safetensors"; }
  ImportRequest vq_request(const std::string& out = "vq") const {
    return {vq_file(), std::nullopt, "", vq_config(), folder_ / out};
  }
  ImportRequest var_request(const std::string& out = "var") const {
    ImportRequest request{var_file(), std::nullopt, "", var_config(), folder_ / out};
    request.config.tokenizer.from = (folder_ / "vq").string();
    return request;
  }
  std::string refusal(const ImportRequest& request) const {
    const std::string message = test::message_of([&] { import_weights(request); });
    if (fs::is_directory(request.out)) {
      for (const fs::directory_entry& entry : fs::directory_iterator(request.out)) {
        EXPECT_NE(entry.path().extension(), ".unproved");
      }
    }
    return message;
  }

  test::TemporaryFolder folder_;
  std::shared_ptr<distill::VqTokenizer> vq_;
  std::shared_ptr<distill::Var> var_;
};

}  // namespace bitlaw::launch
