#include "distill/losses/divergence_spec.h"

#include <sstream>

#include "data/formats/input_error.h"

namespace bitlaw::distill {
namespace {

using data::InputError;

template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return stream.str();
}

std::int64_t resolve_top_k(const DistillConfig& config, std::int64_t vocab_size) {
  const std::int64_t by_fraction = (vocab_size * 900 + 2048) / 4096;
  const std::int64_t top_k = config.top_k.value_or(by_fraction);
  if (top_k < 0 || top_k > vocab_size) {
    throw InputError(
        text("distill.top_k: ", top_k, " of a vocabulary of ", vocab_size, " classes"),
        "the head set holds the top_k most probable classes and cannot be larger than the vocabulary",
        text("set it between 0 and ", vocab_size, ", or leave it out for ", by_fraction, " (900 of 4096)"));
  }
  return top_k;
}

void check_topkld(const DistillConfig& config) {
  if (config.norm == Norm::naive && config.head == Direction::reverse && config.tail == Direction::forward) {
    throw InputError(
        "distill: head reverse, tail forward, norm naive",
        "this partial sum is not a divergence: its gradient at student = teacher pushes mass out of "
        "the head until it has collapsed (a head of mass 0.95 is driven to 0.32)",
        "use norm: generalised (or conditional), or head: forward with tail: reverse");
  }
  const bool has_head = config.head != Direction::none && config.lambda_head > 0;
  const bool has_tail = config.tail != Direction::none && config.lambda_tail > 0;
  if (!has_head && !has_tail) {
    throw InputError(text("distill: head ", data::enum_name(config.head), " times ", config.lambda_head,
                          ", tail ", data::enum_name(config.tail), " times ", config.lambda_tail),
                     "no term is left, the loss would be 0 for every student",
                     "give head or tail a direction and a positive lambda");
  }
}

void check_mixture(std::string_view key, double value, bool zero_is_constant) {
  if (value == 1.0 || (zero_is_constant && value == 0.0)) {
    throw InputError(text("distill.", key, ": ", value),
                     "the mixture then is one of the two distributions and the loss is 0 for every student",
                     zero_is_constant ? "choose a value between 0 and 1" : "choose a value below 1");
  }
}

}  // namespace

DivergenceSpec divergence_spec(const DistillConfig& config, std::int64_t vocab_size) {
  DivergenceSpec spec{.loss = config.loss,
                      .top_k = 0,
                      .head = config.head,
                      .tail = config.tail,
                      .norm = config.norm,
                      .lambda_head = config.lambda_head,
                      .lambda_tail = config.lambda_tail,
                      .set_source = config.set_source,
                      .temperature = config.temperature,
                      .beta = config.beta,
                      .alpha = config.alpha,
                      .head_mass = config.head_mass};
  switch (config.loss) {
    case Loss::topkld:
      spec.top_k = resolve_top_k(config, vocab_size);
      check_topkld(config);
      break;
    case Loss::jsd:
      check_mixture("beta", config.beta, true);
      break;
    case Loss::skew_forward_kl:
    case Loss::skew_reverse_kl:
      check_mixture("alpha", config.alpha, false);
      break;
    default:
      break;
  }
  return spec;
}

}  // namespace bitlaw::distill
