#include "distill/task_checks.h"

#include "distill/losses/divergence.h"
#include "distill/models/check_vq.h"
#include "distill/models/vq_tokenizer.h"
#include "distill/source_geometry.h"
#include "quant/containers/model_state.h"

namespace bitlaw::distill {
namespace {

template <class Numbers>
std::string list(const Numbers& numbers) {
  std::string text;
  for (const auto number : numbers) {
    text += (text.empty() ? "" : ", ") + std::to_string(number);
  }
  return "[" + text + "]";
}

std::int64_t image_side(const VqConfig& vq) {
  return vq.patch_nums.back() << (static_cast<std::int64_t>(vq.channel_multipliers.size()) - 1);
}

void check_images(const TaskInputs& inputs, const VqConfig& vq, Problems& problems) {
  const std::vector<std::int64_t> wanted = {vq.image_channels, image_side(vq), image_side(vq)};
  if (inputs.train.shape != wanted) {
    problems.add(
        "data.train: images of " + list(inputs.train.shape) + ", the tokenizer takes " + list(wanted),
        "an image is read in one piece, its side is the last of vq.patch_nums times 2^(number of "
        "channel_multipliers - 1)",
        "import the images with --size " + std::to_string(image_side(vq)) + " --channels " +
            std::to_string(vq.image_channels) + ", or change the tokenizer's geometry");
  }
}

void check_tokens(const TaskInputs& inputs, const SourceModel& tokenizer, Problems& problems) {
  const data::DatasetInfo& train = inputs.train;
  if (train.tokenizer_hash != tokenizer.parameter_hash) {
    problems.add("data.train: tokens of another tokenizer (" + train.tokenizer_hash + "; " +
                     tokenizer.origin + " is " + tokenizer.parameter_hash + ")",
                 "a token has no meaning but the vector its own tokenizer gives it",
                 "run 'bitlaw data tokenize' with " + tokenizer.origin +
                     ", or name the tokenizer of these shards in tokenizer.from");
    return;
  }
  if (train.vocab_size != tokenizer.config.vq.codebook_size ||
      train.patch_nums != tokenizer.config.vq.patch_nums) {
    problems.add(
        "data.train: " + std::to_string(train.vocab_size) + " codes in scales " + list(train.patch_nums) +
            ", the tokenizer has " + std::to_string(tokenizer.config.vq.codebook_size) + " in " +
            list(tokenizer.config.vq.patch_nums),
        "the shards and the tokenizer must speak of the same tokens", "run 'bitlaw data tokenize' again");
  }
}

void check_data_of_var(const TaskInputs& inputs, const SourceModel& tokenizer, Problems& problems) {
  if (inputs.train.num_classes < 1) {
    problems.add("data.train: no classes", "the transformer starts each image from a class label",
                 "import the data with labels");
  }
  if (inputs.train.kind == "tokens") {
    check_tokens(inputs, tokenizer, problems);
  } else {
    check_images(inputs, tokenizer.config.vq, problems);
  }
}

void check_same_language(const TaskInputs& inputs, const SourceModel& teacher, const SourceModel& tokenizer,
                         Problems& problems) {
  const std::string name = "distill.teacher: " + teacher.origin;
  const VqConfig& theirs = teacher.tokenizer;
  const VqConfig& ours = tokenizer.config.vq;
  if (theirs.codebook_size != ours.codebook_size) {
    problems.add(name + " has a vocabulary of " + std::to_string(theirs.codebook_size) +
                     " tokens, the student " + std::to_string(ours.codebook_size),
                 "the divergence compares two distributions over the same tokens",
                 "choose a teacher trained on the tokens of " + tokenizer.origin);
  }
  if (theirs.patch_nums != ours.patch_nums) {
    problems.add(name + " has scales " + list(theirs.patch_nums) + ", the student " + list(ours.patch_nums),
                 "position i of one sequence must be position i of the other",
                 "choose a teacher trained on the tokens of " + tokenizer.origin);
  }
  if (teacher.tokenizer_hash != tokenizer.parameter_hash) {
    problems.add(name + " speaks the tokens of tokenizer " + teacher.tokenizer_hash + ", " +
                     tokenizer.origin + " is " + tokenizer.parameter_hash,
                 "the same token would mean different vectors to teacher and student",
                 "name the teacher's own tokenizer in tokenizer.from");
  }
  if (teacher.num_classes != inputs.train.num_classes) {
    problems.add(name + " knows " + std::to_string(teacher.num_classes) + " classes, data.train has " +
                     std::to_string(inputs.train.num_classes),
                 "a label must mean the same to teacher and student",
                 "choose a teacher trained on this data set");
  }
}

void check_teacher(const TaskInputs& inputs, const SourceModel& tokenizer, Problems& problems) {
  if (!inputs.teacher) {
    problems.add("distill.teacher: no teacher", "task.kind: distill learns from one",
                 "name a run or an export in distill.teacher, or use task.kind: pretrain");
    return;
  }
  if (inputs.teacher->config.family != Family::var) {
    problems.add("distill.teacher: " + inputs.teacher->origin + " is " +
                     std::string(noun_of(inputs.teacher->config.family)),
                 "a teacher gives probabilities of tokens", "name the run of a VAR model");
    return;
  }
  check_same_language(inputs, *inputs.teacher, tokenizer, problems);
}

void check_scale_weights(const TaskInputs& inputs, const VqConfig& vq, Problems& problems) {
  const std::vector<double>& weights = inputs.distill.scale_weights;
  if (weights.empty()) {
    return;
  }
  double sum = 0.0;
  for (const double weight : weights) {
    sum += weight;
  }
  if (weights.size() != vq.patch_nums.size() || sum <= 0.0) {
    problems.add("distill.scale_weights: " + std::to_string(weights.size()) + " weights with sum " +
                     std::to_string(sum) + " for " + std::to_string(vq.patch_nums.size()) + " scales",
                 "each scale's tokens are weighted by one number, and not all by zero",
                 "give one weight per entry of the tokenizer's patch_nums, or none");
  }
}

}  // namespace

void check_tokenizer_task(const TaskInputs& inputs, Problems& problems) {
  if (inputs.model.family != Family::vq) {
    problems.add("model.family: var", "task.kind: tokenizer trains a tokenizer", "use model.family: vq");
    return;
  }
  if (inputs.quant.method != quant::Method::none) {
    problems.add("quant.method: " + std::string(data::enum_name(inputs.quant.method)),
                 "the tokenizer's convolutions are not quantised", "use quant.method: none");
  }
  if (inputs.model.init == "teacher") {
    problems.add("model.init: teacher", "a tokenizer has no teacher", "use random, or the path of a run");
  }
  problems.collect([&] { check_geometry(inputs.model.vq); });
  if (inputs.train.kind != "images") {
    problems.add("data.train: a data set of " + inputs.train.kind, "a tokenizer learns from images",
                 "name the folder that 'bitlaw data import' wrote");
    return;
  }
  if (!inputs.model.vq.patch_nums.empty()) {
    check_images(inputs, inputs.model.vq, problems);
  }
}

void check_var_task(const TaskInputs& inputs, Problems& problems) {
  if (inputs.model.family != Family::var) {
    problems.add("model.family: vq",
                 "task.kind: " + std::string(data::enum_name(inputs.task.kind)) + " trains a transformer",
                 "use model.family: var, or task.kind: tokenizer");
    return;
  }
  if (!inputs.tokenizer) {
    problems.add("tokenizer.from: no tokenizer", "the transformer reads and predicts its tokens",
                 "name the run or the export of one");
    return;
  }
  const SourceModel& tokenizer = *inputs.tokenizer;
  if (tokenizer.config.family != Family::vq) {
    problems.add("tokenizer.from: " + tokenizer.origin + " is not a tokenizer",
                 "the transformer reads and predicts a tokenizer's tokens", "name the run of one");
    return;
  }
  check_data_of_var(inputs, tokenizer, problems);
  if (inputs.task.kind == TaskKind::distill) {
    check_teacher(inputs, tokenizer, problems);
    problems.collect([&] { divergence_spec(inputs.distill, tokenizer.config.vq.codebook_size); });
    check_scale_weights(inputs, tokenizer.config.vq, problems);
  } else if (inputs.model.init == "teacher") {
    problems.add("model.init: teacher", "task.kind: pretrain has no teacher",
                 "use random, or the path of the run whose weights to start from");
  }
}

void check_specs_fit(const quant::PrepareReport& report, const SourceModel& source, const std::string& key,
                     Problems& problems) {
  std::string differences;
  std::int64_t count = 0;
  for (const quant::PreparedLayer& layer : report.layers) {
    const auto found = source.specs.find(layer.name);
    if (found == source.specs.end() || (layer.spec && *layer.spec == found->second)) {
      continue;
    }
    if (++count <= 8) {
      differences.append(differences.empty() ? "" : ", ").append(layer.name).append(": ");
      differences.append(found->second.to_string()).append(" there, ");
      differences.append(layer.spec ? layer.spec->to_string() : "not quantised").append(" here");
    }
  }
  if (count > 0) {
    problems.add(key + ": " + source.origin + " is quantised otherwise than quant says (" + differences +
                     (count > 8 ? ", and " + std::to_string(count - 8) + " more layers" : "") + ")",
                 "rounding what was rounded to other levels is worse than rounding once",
                 "start from the full-precision run, or give the specs of " + source.origin);
  }
}

namespace {

// True when there is none.
bool check_geometry_fits(const torch::nn::Module& model, const SourceModel& source, const std::string& key,
                         Problems& problems) {
  std::string all;
  for (const std::string& difference : geometry_differences(model, source)) {
    all.append(all.empty() ? "" : ", ").append(difference);
  }
  if (!all.empty()) {
    problems.add(key + ": " + source.origin + " is another network (" + all + ")",
                 "no tensor shows it, and the same weights would give other outputs",
                 "give these keys their values of there");
  }
  return all.empty();
}

}  // namespace

bool check_weights_fit(torch::nn::Module& model, const SourceModel& source, const std::string& key,
                       Problems& problems) {
  if (source.config.family != family_of(model)) {
    problems.add(key + ": " + source.origin + " is " + std::string(noun_of(source.config.family)) + ", not " +
                     std::string(noun_of(family_of(model))),
                 "weights can be taken over only from a model of the same family", "name another run");
    return false;
  }
  const State wanted = quant::state_of(model, quant::StateScope::deployed);
  std::int64_t differences = 0;
  std::string first;
  const auto note = [&](const std::string& difference) {
    if (differences++ == 0) {
      first = difference;
    }
  };
  for (const auto& [name, tensor] : wanted) {
    const auto found = source.state.find(name);
    if (found == source.state.end()) {
      note(name + " is not there");
    } else if (found->second.sizes() != tensor.sizes()) {
      note(name + " is " + list(found->second.sizes()) + " there, " + list(tensor.sizes()) + " here");
    }
  }
  const auto buffers = model.named_buffers();
  for (const auto& [name, tensor] : source.state) {
    if (wanted.count(name) == 0 && !buffers.contains(name)) {
      note(name + " is only there");
    }
  }
  if (differences > 0) {
    problems.add(key + ": " + std::to_string(differences) + " tensors of " + source.origin +
                     " do not fit this model, the first: " + first,
                 "weights can be taken over only between equal shapes",
                 "use model.init: random, or model.depth " + std::to_string(source.config.depth) +
                     " and model.width " + std::to_string(source.config.width) + " as there");
  }
  return check_geometry_fits(model, source, key, problems) && differences == 0;
}

}  // namespace bitlaw::distill
