// The bare networks that a configuration describes.
#include "distill/make_task.h"
#include "distill/models/dit.h"
#include "distill/models/raster_ar.h"
#include "distill/models/sd_vae.h"
#include "distill/models/var.h"
#include "distill/models/vq_tokenizer.h"

namespace bitlaw::distill {

std::shared_ptr<torch::nn::Module> make_model(const ModelConfig& model, const VqConfig& tokenizer,
                                              std::int64_t num_classes) {
  switch (model.family) {
    case Family::vq:
      return std::make_shared<VqTokenizer>(model.vq);
    case Family::dit:
      return std::make_shared<Dit>(dit_shape(model, num_classes));
    case Family::raster:
      return std::make_shared<RasterAr>(raster_shape(model, num_classes));
    case Family::sd_vae:
      return std::make_shared<SdVae>(model.sd_vae);
    case Family::var:
      break;
  }
  return std::make_shared<Var>(var_shape(model, tokenizer, num_classes));
}

Family family_of(const torch::nn::Module& model) {
  if (dynamic_cast<const VqTokenizer*>(&model) != nullptr) {
    return Family::vq;
  }
  if (dynamic_cast<const Dit*>(&model) != nullptr) {
    return Family::dit;
  }
  if (dynamic_cast<const SdVae*>(&model) != nullptr) {
    return Family::sd_vae;
  }
  return dynamic_cast<const RasterAr*>(&model) != nullptr ? Family::raster : Family::var;
}

}  // namespace bitlaw::distill
