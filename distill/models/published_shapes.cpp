// Geometries of published checkpoints.
#include <array>

#include "data/formats/input_error.h"
#include "distill/models/weights.h"

namespace bitlaw::distill {

namespace {

struct Size {
  std::string_view name;
  std::int64_t depth;
  std::int64_t width;
  std::int64_t num_heads;
};

constexpr std::array<Size, 5> kVar = {{{"d16", 16, 1024, 16},
                                       {"d20", 20, 1280, 20},
                                       {"d24", 24, 1536, 24},
                                       {"d30", 30, 1920, 30},
                                       {"d36-s", 36, 2304, 36}}};
constexpr std::array<Size, 4> kDit = {
    {{"S", 12, 384, 6}, {"B", 12, 768, 12}, {"L", 24, 1024, 16}, {"XL", 28, 1152, 16}}};
constexpr std::array<Size, 5> kRaster = {{{"B", 12, 768, 12},
                                          {"L", 24, 1024, 16},
                                          {"XL", 36, 1280, 20},
                                          {"XXL", 48, 1536, 24},
                                          {"3B", 24, 3200, 32}}};

const Size& find(std::span<const Size> sizes, std::string_view name, const std::string& family) {
  std::string names;
  for (const Size& size : sizes) {
    if (size.name == name) {
      return size;
    }
    names.append(names.empty() ? "" : ", ").append(size.name);
  }
  throw data::InputError("there is no " + family + " of size '" + std::string(name) + "'",
                         "the sizes " + names + " were published", "name one of them");
}

}  // namespace

VarShape published_var(std::string_view name) {
  const Size& size = find(kVar, name, "VAR");
  const bool is_large = size.depth == 36;
  VarShape shape;
  shape.depth = size.depth;
  shape.width = size.width;
  shape.num_heads = size.num_heads;
  shape.num_classes = 1000;
  shape.vocab_size = 4096;
  shape.latent_channels = 32;
  shape.patch_nums = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16};
  if (is_large) {  // 512 pixels, one AdaLN layer for all blocks
    shape.patch_nums = {1, 2, 3, 4, 6, 9, 13, 18, 24, 32};
    shape.shared_ada_lin = true;
  }
  return shape;
}

VqConfig published_vq() {
  VqConfig config;
  config.image_channels = 3;
  config.base_channels = 160;
  config.channel_multipliers = {1, 1, 2, 2, 4};
  config.res_blocks = 2;
  config.latent_channels = 32;
  config.codebook_size = 4096;
  config.patch_nums = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16};
  config.phi_convolutions = 4;
  config.codebook = CodebookTraining::gradient;
  return config;
}

DitShape published_dit(std::string_view name) {
  const std::size_t slash = name.find('/');
  const std::string_view patch = slash == std::string_view::npos ? "" : name.substr(slash + 1);
  if (patch != "2" && patch != "4" && patch != "8") {
    throw data::InputError("there is no DiT of size '" + std::string(name) + "'",
                           "a size is S, B, L or XL and a patch of 2, 4 or 8", "name for example XL/2");
  }
  const Size& size = find(kDit, name.substr(0, slash), "DiT");
  DitShape shape;
  shape.depth = size.depth;
  shape.width = size.width;
  shape.num_heads = size.num_heads;
  shape.patch_size = patch.front() - '0';
  return shape;
}

RasterShape published_raster(std::string_view name) {
  const Size& size = find(kRaster, name, "LlamaGen");
  RasterShape shape;
  shape.depth = size.depth;
  shape.width = size.width;
  shape.num_heads = size.num_heads;
  return shape;
}

}  // namespace bitlaw::distill
