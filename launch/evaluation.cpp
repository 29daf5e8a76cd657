#include "launch/evaluation.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "data/formats/input_error.h"
#include "data/formats/tensor_io.h"
#include "data/shard_dataset.h"
#include "distill/tasks/pretrain_task.h"
#include "distill/tasks/tokenizer_task.h"
#include "trainer/autocast.h"
#include "trainer/evaluate.h"
#include "trainer/figures.h"
#include "trainer/stop_signal.h"

namespace bitlaw::launch {
namespace fs = std::filesystem;
namespace {

std::shared_ptr<const data::Dataset> open_dataset(const std::string& path) {
  if (path.empty()) {
    throw data::InputError("no validation data", "the figures are means over its samples",
                           "name a folder of shards with --data, or in data.validation");
  }
  return std::make_shared<data::ShardDataset>(path);
}

void check_family(const ModelOrigin& origin) {
  const distill::Family family = origin.config.model.family;
  if (family != distill::Family::var && family != distill::Family::vq) {
    throw data::InputError(fmt::format("{}: is {}", origin.path.string(), distill::noun_of(family)),
                           "there are no figures of such a model yet",
                           "name a VAR or a tokenizer; 'bitlaw inspect' shows what a file holds");
  }
}

void check_dataset(const ModelOrigin& origin, const data::DatasetInfo& info, const std::string& path) {
  const bool is_tokenizer = origin.config.model.family == distill::Family::vq;
  if (is_tokenizer && info.kind != "images") {
    throw data::InputError(fmt::format("{}: a data set of {}", path, info.kind),
                           "a tokenizer is judged by the images it gives back",
                           "name a folder of images with --data");
  }
  if (!is_tokenizer && info.kind == "tokens" && info.tokenizer_hash != origin.tokenizer_hash) {
    throw data::InputError(
        fmt::format("{}: tokens of another tokenizer ({}; the model speaks those of {})", path,
                    info.tokenizer_hash, origin.tokenizer_hash),
        "a token has no meaning but the vector its own tokenizer gives it",
        "name shards made with the model's tokenizer, or the images themselves, with --data");
  }
  if (!is_tokenizer && info.num_classes > origin.num_classes) {
    throw data::InputError(
        fmt::format("{}: {} classes, the model knows {}", path, info.num_classes, origin.num_classes),
        "it has no embedding for the others", "name data of the model's classes with --data");
  }
}

std::string teacher_path(const EvaluationRequest& request, const trainer::RunConfig& config) {
  const std::string path = request.teacher.empty() ? config.distill.teacher : request.teacher;
  return path == "none" ? "" : path;
}

void check_teacher(const ModelOrigin& teacher, const ModelOrigin& student) {
  const auto refuse = [&](const std::string& what) {
    throw data::InputError(fmt::format("teacher {}: {}", teacher.path.string(), what),
                           "a divergence compares two distributions over the same tokens",
                           "name another teacher with --teacher, or --teacher none");
  };
  if (teacher.config.model.family != distill::Family::var) {
    refuse(fmt::format("is {}", distill::noun_of(teacher.config.model.family)));
  }
  if (teacher.tokenizer.codebook_size != student.tokenizer.codebook_size) {
    refuse(fmt::format("has a vocabulary of {} tokens, the student {}", teacher.tokenizer.codebook_size,
                       student.tokenizer.codebook_size));
  }
  if (teacher.tokenizer.patch_nums != student.tokenizer.patch_nums) {
    refuse("has other scales than the student");
  }
  if (teacher.tokenizer_hash != student.tokenizer_hash) {
    refuse(fmt::format("speaks the tokens of tokenizer {}, the student those of {}", teacher.tokenizer_hash,
                       student.tokenizer_hash));
  }
  if (teacher.num_classes != student.num_classes) {
    refuse(fmt::format("knows {} classes, the student {}", teacher.num_classes, student.num_classes));
  }
}

// What the command line or the configuration says holds for an export too; the configuration's choice for
// another teacher than its own is a default.
WeightsWish teacher_wish(const EvaluationRequest& request, const trainer::RunConfig& config) {
  const auto weights = request.teacher_weights.value_or(config.distill.teacher_weights);
  WeightsWish wish{weights == distill::TeacherWeights::ema ? Weights::ema : Weights::model};
  if (request.teacher_weights) {
    wish.said_by = "--teacher-weights";
  } else if (request.teacher.empty()) {
    wish.said_by = "distill.teacher_weights";
  }
  return wish;
}

std::optional<distill::Teacher> load_teacher(const EvaluationRequest& request, EvaluationSetup& setup) {
  const std::string path = teacher_path(request, setup.origin.config);
  if (path.empty()) {
    return std::nullopt;
  }
  const LoadedModel loaded = load_model(path, teacher_wish(request, setup.origin.config));
  check_teacher(loaded.origin, setup.origin);
  setup.teacher = loaded.origin;
  return distill::Teacher(std::dynamic_pointer_cast<distill::Var>(loaded.model));
}

std::unique_ptr<distill::Task> make_task_of(const EvaluationRequest& request, const LoadedModel& loaded,
                                            EvaluationSetup& setup) {
  if (auto tokenizer = tokenizer_of(loaded)) {
    return std::make_unique<distill::TokenizerTask>(std::move(tokenizer), 0,
                                                    distill::CodebookStart::from_data);
  }
  return std::make_unique<distill::PretrainTask>(
      std::dynamic_pointer_cast<distill::Var>(loaded.model),
      tokenizer_of(load_tokenizer(loaded.origin, request.tokenizer)), load_teacher(request, setup),
      distill::VarTaskOptions{});
}

// Rows of one micro batch into their place of the whole.
class Collected {
 public:
  explicit Collected(std::int64_t samples) : samples_(samples) {}
  void put(std::int64_t first, const at::Tensor& rows) {
    if (!whole_.defined()) {
      std::vector<std::int64_t> shape = rows.sizes().vec();
      shape[0] = samples_;
      whole_ = at::empty(shape, rows.options().device(at::kCPU));
    }
    whole_.narrow(0, first, rows.size(0)).copy_(rows);
  }
  const at::Tensor& whole() const { return whole_; }

 private:
  std::int64_t samples_;
  at::Tensor whole_;
};

data::Batch read_range(const data::Dataset& dataset, std::int64_t first, std::int64_t count) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
  std::iota(indices.begin(), indices.end(), first);
  return dataset.read(indices);
}

}  // namespace

EvaluationSetup prepare_evaluation(const EvaluationRequest& request) {
  EvaluationSetup setup;
  const LoadedModel loaded = load_model(request.model, request.weights);
  setup.origin = loaded.origin;
  check_family(setup.origin);
  const trainer::RunConfig& config = setup.origin.config;
  setup.data_path = request.data.empty() ? config.data.validation : request.data;
  setup.dataset = open_dataset(setup.data_path);
  check_dataset(setup.origin, setup.dataset->info(), setup.data_path);
  setup.eval = config.eval;
  if (request.samples > 0) {
    setup.eval.samples = request.samples;
  }
  setup.eval.samples = std::min(setup.eval.samples, setup.dataset->info().size);
  setup.precision = request.precision.value_or(config.train.precision);
  setup.task = make_task_of(request, loaded, setup);
  return setup;
}

std::vector<std::pair<std::string, double>> run_evaluation(EvaluationSetup& setup,
                                                           trainer::Collective& collective) {
  auto figures = setup.task->report(
      trainer::evaluate(*setup.task, *setup.dataset, {setup.eval, setup.precision}, collective));
  trainer::require_finite(figures, setup.origin.path.string());
  return figures;
}

void dump_logits(EvaluationSetup& setup, const fs::path& file) {
  auto* task = dynamic_cast<distill::VarTask*>(setup.task.get());
  if (task == nullptr) {
    throw data::InputError(fmt::format("--dump-logits: {} is a tokenizer", setup.origin.path.string()),
                           "it has no logits", "leave --dump-logits out");
  }
  data::TensorFile out = data::TensorFile::create(file);  // first: an unwritable path costs no forward pass
  const std::int64_t samples = setup.eval.samples;
  Collected tokens(samples), labels(samples), student(samples), teacher(samples);
  task->model().eval();
  for (std::int64_t first = 0; first < samples; first += setup.eval.micro_batch_size) {
    if (trainer::stop_requested()) {
      throw trainer::StopRequested("asked to stop while dumping logits: nothing was written");
    }
    const trainer::Autocast autocast(setup.precision);
    const std::int64_t count = std::min(setup.eval.micro_batch_size, samples - first);
    const auto logits = task->evaluation_logits(read_range(*setup.dataset, first, count));
    tokens.put(first, logits.tokens_BL);
    labels.put(first, logits.labels_B);
    student.put(first, logits.student_BLV);
    if (logits.teacher_BLV.defined()) {
      teacher.put(first, logits.teacher_BLV);
    }
  }
  data::put_tensor(out, "tokens", tokens.whole());
  data::put_tensor(out, "labels", labels.whole());
  data::put_tensor(out, "student_logits", student.whole());
  if (teacher.whole().defined()) {
    data::put_tensor(out, "teacher_logits", teacher.whole());
  }
  out.put_text("", "precision", std::string(data::enum_name(setup.precision)));
  out.put_text("", "model", setup.origin.path.string());
  out.put_text("", "parameter_hash", setup.origin.parameter_hash);
  out.commit();
}

}  // namespace bitlaw::launch
