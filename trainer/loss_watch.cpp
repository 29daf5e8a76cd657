#include "trainer/loss_watch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "trainer/trainer.h"

namespace bitlaw::trainer {

namespace {

std::string samples_of(const data::Batch& batch) {
  if (!batch.sample_ids.defined() || batch.sample_ids.numel() == 0) {
    return "";
  }
  return " (samples " + std::to_string(batch.sample_ids.min().item<std::int64_t>()) + ".." +
         std::to_string(batch.sample_ids.max().item<std::int64_t>()) + ")";
}

std::string word_of(double value) {
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

// Every rank's text, by rank. Texts are cut to a fixed length so that one exchange carries them.
std::vector<std::string> gather_texts(const std::string& mine, Collective& collective) {
  constexpr std::int64_t kLength = 512;
  at::Tensor bytes = at::zeros({kLength}, at::kByte);
  std::memcpy(bytes.data_ptr(), mine.data(), std::min(mine.size(), static_cast<std::size_t>(kLength - 1)));
  at::Tensor all = at::zeros({collective.size(), kLength}, at::kByte);
  collective.all_gather(all, bytes).wait();
  std::vector<std::string> texts;
  for (int rank = 0; rank < collective.size(); ++rank) {
    texts.emplace_back(static_cast<const char*>(all[rank].data_ptr()));
  }
  return texts;
}

std::string guilty_parameters(const std::vector<distill::NamedParameter>& parameters) {
  constexpr int kShown = 5;
  std::string names;
  int count = 0;
  for (const auto& parameter : parameters) {
    const at::Tensor& gradient = parameter.tensor.grad();
    if (gradient.defined() && !gradient.isfinite().all().item<bool>() && count++ < kShown) {
      names += (names.empty() ? "" : ", ") + parameter.name;
    }
  }
  return count > kShown ? names + " and " + std::to_string(count - kShown) + " more" : names;
}

}  // namespace

void LossWatch::add(const distill::LossTerms& loss, const data::Batch& batch) {
  Figures values = {{"loss", loss.total.item<double>()}};
  for (const auto& [name, value] : loss.terms) {
    values.emplace_back(name, value.item<double>());
  }
  std::string words;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i].second)) {
      words += (words.empty() ? "" : ", ") + values[i].first + " is " + word_of(values[i].second);
    }
    if (micro_batches_ == 0) {
      sums_.push_back(values[i]);
    } else {
      sums_.at(i).second += values[i].second;
    }
  }
  ++micro_batches_;
  if (!words.empty() && complaint_.empty()) {
    complaint_ = words + samples_of(batch);
  }
}

Figures LossWatch::means() const {
  auto means = sums_;
  for (auto& [name, value] : means) {
    value /= static_cast<double>(micro_batches_);
  }
  return means;
}

void throw_not_finite(std::int64_t step, const std::string& complaint, double gradient_norm,
                      const std::vector<distill::NamedParameter>& parameters, Collective& collective) {
  const std::vector<std::string> complaints = gather_texts(complaint, collective);
  std::string message = "step " + std::to_string(step) + ": ";
  bool any = false;
  for (std::size_t rank = 0; rank < complaints.size(); ++rank) {
    if (!complaints[rank].empty()) {
      message += (any ? "; " : "") + complaints[rank] + " on rank " + std::to_string(rank);
      any = true;
    }
  }
  if (!any) {
    message += "the gradient norm is " + word_of(gradient_norm) + " (" + guilty_parameters(parameters) + ")";
  }
  throw NotFiniteError(
      message +
      " [an update would destroy the weights; none was made]; lower optim.lr, or look at these "
      "samples, and resume from the latest checkpoint");
}

}  // namespace bitlaw::trainer
