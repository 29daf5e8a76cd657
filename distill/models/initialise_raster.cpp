// First values of LlamaGen's transformer, as published.
#include <ATen/ATen.h>

#include <string_view>

#include "distill/models/initialise.h"
#include "distill/models/raster_ar.h"

namespace bitlaw::distill {

void initialise(RasterAr& model, std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  for (auto& item : model.named_parameters()) {
    const std::string_view name = item.key();
    if (name.find("weight_quantizer") != std::string_view::npos) continue;
    if (name.ends_with("norm.weight"))
      item.value().fill_(1);
    else if (name == "output.weight")
      item.value().zero_();
    else
      fill_normal(item.value(), item.key(), 0.02, seed);
  }
}

}  // namespace bitlaw::distill
