#include "trainer/grad_reducer.h"

#include <gmock/gmock.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <vector>

#include "tests/support/group_runner.h"

namespace bitlaw::trainer {

namespace {

using distill::NamedParameter;

std::vector<NamedParameter> make_parameters(const std::vector<std::int64_t>& sizes) {
  std::vector<NamedParameter> parameters;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const at::Tensor values = at::sin(at::arange(sizes[i], at::kFloat) + static_cast<double>(i));
    parameters.push_back({"p" + std::to_string(i), values.requires_grad_(true)});
  }
  return parameters;
}

// A loss whose gradient with respect to p_i is rank- and micro-batch-dependent: cos(p_i + rank + micro).
at::Tensor loss_of(const std::vector<NamedParameter>& parameters, int rank, std::int64_t micro) {
  at::Tensor loss = at::zeros({});
  for (const auto& parameter : parameters) {
    loss = loss + at::sin(parameter.tensor + static_cast<double>(rank + 10 * micro)).sum();
  }
  return loss;
}

// The plain average over ranks and micro batches, in float64.
at::Tensor expected_gradient(const at::Tensor& parameter, int ranks, std::int64_t micro_batches) {
  at::Tensor sum = at::zeros_like(parameter, at::kDouble);
  for (int rank = 0; rank < ranks; ++rank) {
    for (std::int64_t micro = 0; micro < micro_batches; ++micro) {
      sum += at::cos(parameter.detach() + static_cast<double>(rank + 10 * micro)).to(at::kDouble);
    }
  }
  return sum / static_cast<double>(ranks * micro_batches);
}

void backward_all(GradReducer& reducer, const std::vector<NamedParameter>& parameters, int rank,
                  std::int64_t micro_batches) {
  reducer.clear();
  for (std::int64_t micro = 0; micro < micro_batches; ++micro) {
    const at::Tensor loss = loss_of(parameters, rank, micro);
    if (micro + 1 == micro_batches) {
      reducer.arm(micro_batches);
    }
    loss.backward();
  }
}

// Two uses of one weight whose gradients are added in two visits of its accumulator, as blocks that are
// recomputed in backward do it.
class InnerBackward : public torch::autograd::Function<InnerBackward> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight) {
    context->save_for_backward({x, weight});
    return x * weight.detach().sum();
  }
  static std::vector<at::Tensor> backward(torch::autograd::AutogradContext* context,
                                          const std::vector<at::Tensor>& gradients) {
    const auto saved = context->get_saved_variables();
    const at::AutoGradMode enabled(true);
    at::Tensor x = saved[0].detach().requires_grad_(true);
    (x * saved[1].sum()).backward(gradients[0]);
    return {x.grad(), at::Tensor()};
  }
};

}  // namespace

TEST_P(GradReducerContract, AveragesOverRanksAndMicroBatches) {
  on_all_ranks([](Collective& c) {
    for (const std::int64_t bucket_bytes : {64, 4096, 1 << 20}) {
      const auto parameters = make_parameters({5, 300, 17, 1, 2000, 64});
      GradReducer reducer(parameters, c, bucket_bytes);
      for (const std::int64_t micro_batches : {1, 3, 2}) {
        backward_all(reducer, parameters, c.rank(), micro_batches);
        reducer.finish({});
        double squares = 0.0;
        for (const auto& parameter : parameters) {
          const at::Tensor expected = expected_gradient(parameter.tensor, c.size(), micro_batches);
          EXPECT_TRUE(at::allclose(parameter.tensor.grad().to(at::kDouble), expected, 1e-5, 1e-6));
          squares += expected.pow(2).sum().item<double>();
        }
        EXPECT_NEAR(reducer.norm(), std::sqrt(squares), 1e-5 * std::sqrt(squares));
      }
    }
  });
}

TEST_P(GradReducerContract, SmallBucketsGiveTheBitsOfOneLargeOne) {
  on_all_ranks([](Collective& c) {
    std::vector<at::Tensor> first;
    for (const std::int64_t bucket_bytes : {256, 1 << 24}) {
      const auto parameters = make_parameters({700, 3, 90, 1000});
      GradReducer reducer(parameters, c, bucket_bytes);
      for (int step = 0; step < 3; ++step) {
        backward_all(reducer, parameters, c.rank(), 2);
        reducer.finish({});
        for (std::size_t i = 0; i < parameters.size(); ++i) {
          if (first.size() < parameters.size()) {
            first.push_back(parameters[i].tensor.grad().clone());
          }
          EXPECT_TRUE(at::equal(parameters[i].tensor.grad(), first[i]));
        }
      }
    }
  });
}

TEST_P(GradReducerContract, AnUnusedParameterHasTheGradientZero) {
  on_all_ranks([](Collective& c) {
    const auto parameters = make_parameters({40, 50, 60});
    GradReducer reducer(parameters, c, 64);
    for (int step = 0; step < 3; ++step) {
      reducer.clear();
      reducer.arm(1);
      // A different one is left out in every step, and on one rank only in the last.
      at::Tensor loss = at::zeros({});
      for (int i = 0; i < 3; ++i) {
        if (i != step || (step == 2 && c.rank() != 0)) {
          loss = loss + parameters[static_cast<std::size_t>(i)].tensor.sum();
        }
      }
      loss.backward();
      reducer.finish({});
      for (int i = 0; i < 3; ++i) {
        const double used = i != step ? 1.0 : step == 2 ? (c.size() - 1.0) / c.size() : 0.0;
        const at::Tensor& gradient = parameters[static_cast<std::size_t>(i)].tensor.grad();
        EXPECT_TRUE(at::allclose(gradient, at::full_like(gradient, used))) << step << ' ' << i;
      }
    }
  });
}

TEST_P(GradReducerContract, ParametersVisitedTwiceAreReducedOnce) {
  on_all_ranks([](Collective& c) {
    const auto parameters = make_parameters({6, 7, 8});
    GradReducer reducer(parameters, c, 4);
    for (int step = 0; step < 3; ++step) {
      reducer.clear();
      reducer.arm(1);
      at::Tensor x = parameters[0].tensor.sum();
      x = InnerBackward::apply(x, parameters[1].tensor);
      x = InnerBackward::apply(x, parameters[1].tensor);
      (x * parameters[2].tensor.sum()).backward();
      reducer.finish({});
      const double a = parameters[0].tensor.sum().item<double>();
      const double w = parameters[1].tensor.sum().item<double>();
      const double b = parameters[2].tensor.sum().item<double>();
      EXPECT_NEAR(parameters[0].tensor.grad()[0].item<double>(), w * w * b, 1e-4);
      EXPECT_NEAR(parameters[1].tensor.grad()[0].item<double>(), 2.0 * a * w * b, 1e-4);
      EXPECT_NEAR(parameters[2].tensor.grad()[0].item<double>(), a * w * w, 1e-4);
    }
  });
}

TEST_P(GradReducerContract, FlagsOfAnyRankReachAll) {
  on_all_ranks([](Collective& c) {
    const auto parameters = make_parameters({10});
    GradReducer reducer(parameters, c, 1 << 20);
    for (int step = 0; step < 3; ++step) {
      backward_all(reducer, parameters, c.rank(), 1);
      const bool last = c.rank() + 1 == c.size();
      const StepFlags all = reducer.finish({last && step == 1, last && step == 2});
      EXPECT_EQ(all.stop, step == 1);
      EXPECT_EQ(all.not_finite, step == 2);
    }
  });
}

TEST_P(GradReducerContract, RanksWithOtherParametersGetACommError) {
  on_all_ranks([](Collective& c) {
    if (c.size() == 1) {
      return;
    }
    // Ranks with other parameters: their buckets differ in size.
    const auto parameters = make_parameters({10 + 100 * c.rank(), 20});
    GradReducer reducer(parameters, c, 4);
    EXPECT_THROW(
        {
          for (int step = 0; step < 2; ++step) {
            backward_all(reducer, parameters, c.rank(), 1);
            reducer.finish({});
          }
        },
        CommError);
  });
}

TEST_P(GradReducerContract, RefusesWhatItCannotReduce) {
  on_all_ranks([](Collective& c) {
    const std::vector<NamedParameter> doubles = {{"d", at::zeros({2}, at::kDouble).requires_grad_(true)}};
    EXPECT_THROW(GradReducer(doubles, c, 4), std::invalid_argument);
    const std::vector<NamedParameter> frozen = {{"f", at::zeros({2})}};
    EXPECT_THROW(GradReducer(frozen, c, 4), std::invalid_argument);
  });
}

}  // namespace bitlaw::trainer
