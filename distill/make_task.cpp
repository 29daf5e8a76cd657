#include "distill/make_task.h"

#include <c10/core/impl/LocalDispatchKeySet.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "distill/models/var.h"
#include "distill/models/vq_tokenizer.h"
#include "distill/problems.h"
#include "distill/task_checks.h"
#include "distill/tasks/distill_task.h"
#include "distill/tasks/pretrain_task.h"
#include "distill/tasks/tokenizer_task.h"
#include "quant/containers/model_state.h"
#include "quant/progressive.h"
#include "quant/requantise.h"

namespace bitlaw::distill {
namespace {

std::shared_ptr<Var> load_var(const SourceModel& source) {
  auto model = std::make_shared<Var>(var_shape(source.config, source.tokenizer, source.num_classes));
  quant::load_state(*model, source.state);
  return model;
}

std::shared_ptr<VqTokenizer> load_tokenizer(const SourceModel& source) {
  auto model = std::make_shared<VqTokenizer>(source.config.vq);
  quant::load_state(*model, source.state);
  return model;
}

// The weights that model.init names; none for random.
const SourceModel* initial_weights(const TaskInputs& inputs, Problems& problems) {
  if (inputs.model.init == "random") {
    return nullptr;
  }
  const std::optional<SourceModel>& source = inputs.model.init == "teacher" ? inputs.teacher : inputs.init;
  if (source) {
    return &*source;
  }
  if (!inputs.resume) {  // a resumed run loads its own weights
    problems.add("model.init: " + inputs.model.init + " is not there", "the student starts from its weights",
                 "name random, teacher, or the path of a run or an export");
  }
  return nullptr;
}

void take_weights(torch::nn::Module& model, const TaskInputs& inputs, Problems& problems) {
  const SourceModel* source = initial_weights(inputs, problems);
  if (source == nullptr) {
    return;
  }
  if (check_weights_fit(model, *source, "model.init: " + inputs.model.init, problems)) {
    quant::load_state(model, source->state);
  }
}

MadeTask make_tokenizer_task(const TaskInputs& inputs, Problems& problems) {
  check_tokenizer_task(inputs, problems);
  problems.throw_if_any();
  auto model = std::make_shared<VqTokenizer>(inputs.model.vq);
  initialise(*model, inputs.seed);
  take_weights(*model, inputs, problems);
  problems.throw_if_any();
  const CodebookStart start = inputs.model.init == "random" ? CodebookStart::from_data : CodebookStart::keep;
  return {std::make_unique<TokenizerTask>(std::move(model), inputs.seed, start), {}};
}

std::unique_ptr<Task> wrap_student(const TaskInputs& inputs, std::shared_ptr<Var> student) {
  std::shared_ptr<VqTokenizer> tokenizer = load_tokenizer(*inputs.tokenizer);
  VarTaskOptions options{inputs.seed, inputs.task.label_drop, {}, inputs.quant};
  if (inputs.task.kind == TaskKind::pretrain) {
    return std::make_unique<PretrainTask>(std::move(student), std::move(tokenizer), std::nullopt, options);
  }
  options.scale_weights = inputs.distill.scale_weights;
  DistillTask::Objective objective;
  objective.divergence = divergence_spec(inputs.distill, inputs.tokenizer->config.vq.codebook_size);
  objective.ce_weight = inputs.distill.ce_weight;
  if (inputs.distill.loss == Loss::cakld) {
    objective.divergence.beta = measure_teacher_confidence(inputs, kConfidenceSamples);
  }
  return std::make_unique<DistillTask>(std::move(student), std::move(tokenizer),
                                       Teacher(load_var(*inputs.teacher)), options, objective);
}

quant::PrepareReport quantise(Var& student, const TaskInputs& inputs) {
  quant::PrepareReport report =
      quant::prepare(student, quant::config_at(inputs.quant, inputs.step),
                     inputs.resume ? quant::ScaleInit::left_for_load : quant::ScaleInit::from_weights);
  if (inputs.quant.method == quant::Method::e2e_qp && !inputs.resume) {
    if (!inputs.init || inputs.init->weights.empty()) {
      throw data::InputError("quant.method: e2e_qp with model.init: " + inputs.model.init,
                             "it trains the scales of codes that are there, and nothing there has codes",
                             "name a run of 'bitlaw ptq', or an export of one");
    }
    const std::string origin = "model.init: " + inputs.init->origin;
    quant::freeze_codes(student, inputs.init->weights, origin);
    quant::adopt_inputs(student, inputs.init->activations, origin);
  }
  return report;
}

// The specs of what the student starts from; e2e_qp has compared them with the codes.
void check_start(const quant::PrepareReport& report, const TaskInputs& inputs, Problems& problems) {
  if (inputs.init && !inputs.resume && inputs.quant.method != quant::Method::e2e_qp) {
    check_specs_fit(report, *inputs.init, "model.init: " + inputs.model.init, problems);
  }
}

MadeTask make_var_task(const TaskInputs& inputs, Problems& problems) {
  check_var_task(inputs, problems);
  if (!inputs.tokenizer || inputs.model.family != Family::var) {
    problems.throw_if_any();
  }
  MadeTask made;
  std::shared_ptr<Var> student;
  problems.collect([&] {
    student =
        std::make_shared<Var>(var_shape(inputs.model, inputs.tokenizer->config.vq, inputs.train.num_classes));
  });
  if (student) {
    initialise(*student, inputs.model.ada_lin_gamma, inputs.seed);
    take_weights(*student, inputs, problems);
    student->set_activation_checkpointing(inputs.activation_checkpointing);
    if (inputs.quant.method != quant::Method::none) {
      problems.collect([&] { made.report = quantise(*student, inputs); });
      check_start(made.report, inputs, problems);
    }
  }
  problems.throw_if_any();
  made.task = wrap_student(inputs, std::move(student));
  return made;
}

}  // namespace

MadeTask make_task(const TaskInputs& inputs) {
  Problems problems;
  if (inputs.task.kind == TaskKind::tokenizer) {
    return make_tokenizer_task(inputs, problems);
  }
  return make_var_task(inputs, problems);
}

double measure_teacher_confidence(const TaskInputs& inputs, std::int64_t samples) {
  constexpr std::int64_t kMicroBatch = 32;
  constexpr double kUnit = 1.0 / (1 << 20);  // far above the rounding of the forward pass
  const c10::impl::ExcludeDispatchKeyGuard full_precision(c10::autocast_dispatch_keyset);
  Teacher teacher(load_var(*inputs.teacher));
  TokenPreparer preparer(load_tokenizer(*inputs.tokenizer));
  const std::int64_t count = inputs.validation ? std::min(samples, inputs.validation->info().size) : 0;
  double sum = 0.0;
  double tokens = 0.0;
  for (std::int64_t first = 0; first < count; first += kMicroBatch) {
    std::vector<std::int64_t> indices(static_cast<std::size_t>(std::min(kMicroBatch, count - first)));
    std::iota(indices.begin(), indices.end(), first);
    const TokenInput input = preparer.prepare(inputs.validation->read(indices));
    const at::Tensor p = teacher.logits(input.labels_B, input.var_input_BLE).softmax(-1);
    const at::Tensor largest = std::get<0>(p.max(-1));
    sum += largest.sum(at::kDouble).item<double>();
    tokens += static_cast<double>(largest.numel());
  }
  if (tokens == 0.0) {
    throw data::InputError("data.validation: no samples",
                           "distill.loss: cakld measures the teacher's confidence on them",
                           "name a validation set in data.validation");
  }
  return std::nearbyint(sum / tokens / kUnit) * kUnit;
}

}  // namespace bitlaw::distill
