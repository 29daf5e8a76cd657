// The bare networks that a configuration describes.
#include "distill/make_task.h"
#include "distill/models/var.h"
#include "distill/models/vq_tokenizer.h"

namespace bitlaw::distill {

std::shared_ptr<torch::nn::Module> make_model(const ModelConfig& model, const VqConfig& tokenizer,
                                              std::int64_t num_classes) {
  switch (model.family) {
    case Family::vq:
      return std::make_shared<VqTokenizer>(model.vq);
    case Family::dit:
    case Family::raster:
    case Family::var:
      break;
  }
  return std::make_shared<Var>(var_shape(model, tokenizer, num_classes));
}

Family family_of(const torch::nn::Module& model) {
  if (dynamic_cast<const VqTokenizer*>(&model) != nullptr) {
    return Family::vq;
  }
  return Family::var;
}

}  // namespace bitlaw::distill
