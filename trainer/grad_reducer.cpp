#include "trainer/grad_reducer.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <chrono>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "trainer/elapsed.h"

namespace bitlaw::trainer {

namespace {

constexpr std::int64_t kAlignment = 16;  // floats: every gradient starts on its own cache line
constexpr std::int64_t kFlags = 2;       // behind the gradients of the last bucket

std::int64_t padded(std::int64_t count) {
  return (count + kAlignment - 1) / kAlignment * kAlignment;
}

struct Bucket {
  at::Tensor flat;
  std::int64_t gradients = 0;        // elements before the flags
  std::vector<std::size_t> members;  // parameters
  std::size_t ready = 0;
  Work work;
};

struct Slot {
  std::size_t bucket = 0;
  std::int64_t visits = 0;    // of the present backward
  std::int64_t expected = 0;  // of a whole backward
};

}  // namespace

struct GradReducer::Impl {
  Collective& collective;
  std::vector<distill::NamedParameter> parameters;
  std::vector<Bucket> buckets;
  std::vector<Slot> slots;
  std::vector<c10::intrusive_ptr<torch::autograd::Node>> accumulators;  // hooks live as long as these
  std::vector<std::uintptr_t> hooks;
  std::size_t started = 0;  // buckets [0, started) are under way
  std::int64_t micro_batches = 1;
  bool armed = false;
  bool learned = false;
  double waited = 0.0;
  double last_norm = 0.0;

  Impl(const std::vector<distill::NamedParameter>& all, Collective& ranks, std::int64_t bucket_bytes)
      : collective(ranks), parameters(all), slots(all.size()) {
    fill_buckets(bucket_bytes);
    lay_out();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      auto accumulator = torch::autograd::impl::grad_accumulator(parameters[i].tensor);
      const auto hook = [this, i](const auto& outputs, const auto&) {
        visited(i);
        return outputs;
      };
      hooks.push_back(
          accumulator->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(hook)));
      accumulators.push_back(std::move(accumulator));
    }
  }

  ~Impl() {
    for (std::size_t i = 0; i < accumulators.size(); ++i) {
      accumulators[i]->del_post_hook(hooks[i]);
    }
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // From the last parameter to the first, as backward makes gradients.
  void fill_buckets(std::int64_t bucket_bytes) {
    const auto capacity = bucket_bytes / static_cast<std::int64_t>(sizeof(float));
    buckets.emplace_back();
    for (std::size_t i = parameters.size(); i-- > 0;) {
      const at::Tensor& tensor = parameters[i].tensor;
      if (!tensor.is_cpu() || tensor.scalar_type() != at::kFloat || !tensor.requires_grad() ||
          !tensor.is_leaf()) {
        throw std::invalid_argument("parameter " + parameters[i].name +
                                    " is not a float32 leaf on the CPU that requires a gradient");
      }
      if (!buckets.back().members.empty() && buckets.back().gradients + tensor.numel() > capacity) {
        buckets.emplace_back();
      }
      buckets.back().members.push_back(i);
      buckets.back().gradients += padded(tensor.numel());
      slots[i].bucket = buckets.size() - 1;
    }
  }

  void lay_out() {
    for (Bucket& bucket : buckets) {
      const bool is_last = &bucket == &buckets.back();
      bucket.flat = at::zeros({bucket.gradients + (is_last ? kFlags : 0)}, at::kFloat);
      std::int64_t at = 0;
      for (const std::size_t i : bucket.members) {
        at::Tensor& tensor = parameters[i].tensor;
        tensor.mutable_grad() = bucket.flat.narrow(0, at, tensor.numel()).view(tensor.sizes());
        at += padded(tensor.numel());
      }
    }
  }

  void visited(std::size_t i) {
    for (std::size_t b = 0; b < started; ++b) {
      buckets[b].work.test();
    }
    if (!armed) {
      return;
    }
    Slot& slot = slots[i];
    ++slot.visits;
    if (!learned) {
      return;
    }
    if (slot.visits == slot.expected) {
      ++buckets[slot.bucket].ready;
      start_full_ones();
    } else if (slot.visits > slot.expected && slot.bucket < started) {
      throw std::logic_error("parameter " + parameters[i].name +
                             " is visited more often in this backward than in " +
                             "the first one [its gradient is already being reduced]");
    }
  }

  // In the order of buckets, so that all ranks call in one order. The last one waits for the flags.
  void start_full_ones() {
    while (started + 1 < buckets.size() && buckets[started].ready == buckets[started].members.size()) {
      start_next();
    }
  }

  void start_next() {
    Bucket& bucket = buckets[started++];
    bucket.work = collective.all_reduce(bucket.flat, ReduceOp::sum);
  }

  StepFlags finish(StepFlags mine) {
    float* flags = buckets.back().flat.data_ptr<float>() + buckets.back().gradients;
    flags[0] = mine.stop ? 1.0F : 0.0F;
    flags[1] = mine.not_finite ? 1.0F : 0.0F;
    const auto start = std::chrono::steady_clock::now();
    while (started < buckets.size()) {
      start_next();
    }
    for (Bucket& bucket : buckets) {
      bucket.work.wait();
    }
    waited += seconds_since(start);
    const StepFlags all = {flags[0] > 0.0F, flags[1] > 0.0F};
    average();
    learn_visits();
    return all;
  }

  void average() {
    const at::NoGradGuard no_grad;
    const double parts = static_cast<double>(collective.size()) * static_cast<double>(micro_batches);
    double squares = 0.0;
    for (Bucket& bucket : buckets) {
      if (parts != 1.0) {
        bucket.flat.mul_(1.0 / parts);
      }
      const at::Tensor gradients = bucket.flat.narrow(0, 0, bucket.gradients);
      const double norm_of_bucket = bucket.gradients == 0 ? 0.0 : gradients.norm().item<double>();
      squares += norm_of_bucket * norm_of_bucket;
    }
    last_norm = std::sqrt(squares);
  }

  void learn_visits() {
    for (Slot& slot : slots) {
      if (!learned) {
        slot.expected = std::max<std::int64_t>(1, slot.visits);
      }
      slot.visits = 0;
    }
    learned = true;
    armed = false;
    started = 0;
    for (Bucket& bucket : buckets) {
      bucket.ready = 0;
    }
  }
};

GradReducer::GradReducer(const std::vector<distill::NamedParameter>& parameters, Collective& collective,
                         std::int64_t bucket_bytes)
    : impl_(std::make_unique<Impl>(parameters, collective, bucket_bytes)) {}

GradReducer::~GradReducer() = default;

void GradReducer::clear() {
  for (Bucket& bucket : impl_->buckets) {
    bucket.flat.zero_();
  }
}

void GradReducer::arm(std::int64_t micro_batches) {
  impl_->micro_batches = micro_batches;
  impl_->armed = true;
}

StepFlags GradReducer::finish(StepFlags mine) {
  return impl_->finish(mine);
}

double GradReducer::norm() const {
  return impl_->last_norm;
}

double GradReducer::wait_seconds() const {
  return impl_->waited;
}

std::int64_t GradReducer::buckets() const {
  return static_cast<std::int64_t>(impl_->buckets.size());
}

}  // namespace bitlaw::trainer
