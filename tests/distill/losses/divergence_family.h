// The whole family of divergences, and logits to try them on.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "distill/losses/divergence.h"

namespace bitlaw::distill::testing {

struct NamedSpec {
  std::string name;
  DivergenceSpec spec;
};

inline bool is_refused(const DivergenceSpec& spec) {
  const bool collapses =
      spec.norm == Norm::naive && spec.head == Direction::reverse && spec.tail == Direction::forward;
  return collapses || (spec.head == Direction::none && spec.tail == Direction::none);
}

// Every accepted combination of directions, norm and set source, with unequal lambdas.
inline std::vector<NamedSpec> topkld_family(std::int64_t top_k) {
  std::vector<NamedSpec> family;
  for (const Norm norm : {Norm::naive, Norm::generalised, Norm::conditional, Norm::ghost}) {
    for (const Direction head : {Direction::forward, Direction::reverse, Direction::none}) {
      for (const Direction tail : {Direction::forward, Direction::reverse, Direction::none}) {
        for (const SetSource source : {SetSource::teacher, SetSource::student, SetSource::union_of_both}) {
          DivergenceSpec spec{.top_k = top_k, .head = head, .tail = tail, .norm = norm, .set_source = source};
          spec.lambda_head = 1.25;
          spec.lambda_tail = 0.5;
          if (is_refused(spec)) continue;
          family.push_back({std::string("topkld ") + std::string(data::enum_name(head)) + "/" +
                                std::string(data::enum_name(tail)) + " " +
                                std::string(data::enum_name(norm)) + " " +
                                std::string(data::enum_name(source)),
                            spec});
        }
      }
    }
  }
  return family;
}

inline std::vector<NamedSpec> baselines() {
  std::vector<NamedSpec> family;
  for (const Loss loss : {Loss::forward_kl, Loss::reverse_kl, Loss::jsd, Loss::cakld, Loss::skew_forward_kl,
                          Loss::skew_reverse_kl, Loss::akl, Loss::mse, Loss::cross_entropy}) {
    DivergenceSpec spec{.loss = loss, .top_k = 0};
    spec.beta = 0.3;
    family.push_back({std::string(data::enum_name(loss)), spec});
  }
  return family;
}

inline std::vector<NamedSpec> whole_family(std::int64_t top_k) {
  std::vector<NamedSpec> family = topkld_family(top_k);
  for (NamedSpec& each : baselines()) family.push_back(std::move(each));
  return family;
}

struct Logits {
  at::Tensor student, teacher, targets;
};

inline Logits random_logits(std::int64_t tokens, std::int64_t classes, std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const auto options = at::TensorOptions().dtype(at::kDouble);
  Logits logits;
  logits.teacher = 2 * at::randn({tokens, classes}, generator, options);
  logits.student = logits.teacher + 0.7 * at::randn({tokens, classes}, generator, options) + 3;
  logits.targets = at::randint(classes, {tokens}, generator, at::TensorOptions().dtype(at::kLong));
  return logits;
}

}  // namespace bitlaw::distill::testing
