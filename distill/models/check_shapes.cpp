#include "distill/models/check_shapes.h"

#include <string>
#include <vector>

#include "data/formats/input_error.h"

namespace bitlaw::distill {

namespace {

class Findings {
 public:
  // `divisor` must be positive and divide `number`.
  void divides(const std::string& divisor_name, std::int64_t divisor, const std::string& name,
               std::int64_t number) {
    if (divisor > 0 && number % divisor == 0) return;
    texts_.push_back(std::string(divisor_name)
                         .append(" ")
                         .append(std::to_string(divisor))
                         .append(" does not divide ")
                         .append(name)
                         .append(" ")
                         .append(std::to_string(number)));
  }
  void positive(const std::string& name, std::int64_t number) {
    if (number <= 0) texts_.push_back(std::string(name).append(" is ").append(std::to_string(number)));
  }
  bool empty() const { return texts_.empty(); }
  void throw_if_any(const std::string& network) const {
    if (texts_.empty()) return;
    std::string all;
    for (const std::string& text : texts_) all.append(all.empty() ? "" : "; ").append(text);
    throw data::InputError(network + ": " + all, "such a network cannot be built", "change these numbers");
  }

 private:
  std::vector<std::string> texts_;
};

}  // namespace

void check_geometry(const DitShape& shape) {
  Findings findings;
  findings.positive("depth", shape.depth);
  findings.positive("width", shape.width);
  findings.positive("latent_channels", shape.latent_channels);
  findings.positive("latent_side", shape.latent_side);
  findings.positive("num_classes", shape.num_classes);
  findings.divides("num_heads", shape.num_heads, "width", shape.width);
  findings.divides("patch_size", shape.patch_size, "latent_side", shape.latent_side);
  findings.divides("4 (a sine and a cosine of row and of column)", 4, "width", shape.width);
  findings.throw_if_any("DiT");
}

void check_geometry(const RasterShape& shape) {
  Findings findings;
  findings.positive("depth", shape.depth);
  findings.positive("width", shape.width);
  findings.positive("tokens_per_side", shape.tokens_per_side);
  findings.positive("num_classes", shape.num_classes);
  findings.positive("vocab_size", shape.vocab_size);
  findings.divides("num_heads", shape.num_heads, "width", shape.width);
  if (findings.empty()) {
    findings.divides("4 (pairs of channels for row and for column)", 4, "the width of a head",
                     shape.width / shape.num_heads);
  }
  findings.throw_if_any("LlamaGen");
}

void check_geometry(const SdVaeConfig& shape) {
  Findings findings;
  findings.positive("image_channels", shape.image_channels);
  findings.positive("latent_channels", shape.latent_channels);
  findings.positive("res_blocks", shape.res_blocks);
  findings.positive("the number of levels", static_cast<std::int64_t>(shape.channels.size()));
  for (const std::int64_t width : shape.channels) {
    findings.positive("a level's channels", width);
    findings.divides("group_norm_groups", shape.group_norm_groups, "a level's channels", width);
  }
  findings.throw_if_any("autoencoder");
}

}  // namespace bitlaw::distill
