#include "trainer/run_state.h"

#include <ATen/ATen.h>

#include <utility>
#include <vector>

#include "data/formats/input_error.h"
#include "data/formats/tensor_io.h"
#include "quant/containers/model_state.h"
#include "trainer/config/identity.h"
#include "trainer/config/reader.h"
#include "trainer/config/scalars.h"
#include "trainer/config/writer.h"
#include "trainer/named_tensors.h"
#include "trainer/schedule.h"

namespace bitlaw::trainer {

namespace {

void require_schedule(const RunConfig& before, const RunConfig& now, std::int64_t step) {
  const std::int64_t was = before.train.max_steps;
  const std::int64_t is = now.train.max_steps;
  if (is < step) {
    throw data::InputError("train.max_steps: " + std::to_string(is) + ", the run has made " +
                               std::to_string(step) + " steps already",
                           "steps are not taken back", "name at least as many, or start another run");
  }
  if (!same_until(now.schedule, was, is, step)) {
    throw data::InputError("train.max_steps: " + std::to_string(is) + ", it was " + std::to_string(was),
                           "a cosine schedule of another length has other learning rates before step " +
                               std::to_string(step) + " as well",
                           "restore it, use schedule.kind: constant, or start a run with another run.name");
  }
}

std::int64_t short_hash(const data::TensorHash& hash) {
  return static_cast<std::int64_t>(std::stoull(hash.hex().substr(0, 16), nullptr, 16));
}

}  // namespace

void require_same_run(const std::map<std::string, std::string>& texts, const RunConfig& config,
                      const std::string& identity, const std::string& where) {
  const auto text = [&](const char* key) {
    const auto found = texts.find(key);
    return found == texts.end() ? std::string() : found->second;
  };
  require_same_identity(text("identity"), identity, where);
  require_schedule(parse_config(text("config"), "config of " + where), config,
                   parse_integer(text("step")).value_or(0));
}

std::map<std::string, at::Tensor> checkpoint_tensors(const LiveState& live) {
  auto tensors = with_prefix(quant::state_of(live.model, quant::StateScope::checkpoint), "model/");
  tensors.merge(live.optimizer.state());
  if (live.ema != nullptr) {
    tensors.merge(with_prefix(live.ema->averages(), "ema/"));
  }
  return tensors;
}

TensorHashes hash_each(const std::map<std::string, at::Tensor>& tensors) {
  TensorHashes hashes;
  for (const auto& [name, tensor] : tensors) {
    hashes.emplace(name, data::hash_tensors({{name, tensor}}));
  }
  return hashes;
}

std::string state_hash(const TensorHashes& hashes, std::int64_t step) {
  data::TensorHash sum = data::hash_tensors({{"step", at::full({}, step, at::kLong)}});
  for (const auto& [name, hash] : hashes) {
    sum.merge(hash);
  }
  return sum.hex();
}

std::map<std::string, std::string> checkpoint_texts(const TrainerInputs& inputs,
                                                    const CheckpointFacts& facts) {
  std::map<std::string, std::string> texts = inputs.texts;
  texts["step"] = std::to_string(facts.step);
  texts["config"] = write_config(inputs.config);
  texts["identity"] = inputs.identity;
  texts["samples_seen"] = std::to_string(facts.step * inputs.config.train.global_batch_size);
  texts["world_size"] = std::to_string(facts.world_size);
  texts["parameter_hash"] = facts.parameter_hash;
  texts["state_hash"] = facts.state_hash;
  return texts;
}

void restore(const CheckpointState& from, const TrainerInputs& inputs, LiveState& live) {
  require_same_run(from.texts, inputs.config, inputs.identity,
                   "checkpoint of step " + std::to_string(from.step));
  quant::load_state(live.model, without_prefix(from.tensors, "model/"));
  NamedTensors moments = having_prefix(from.tensors, "exp_avg/");
  moments.merge(having_prefix(from.tensors, "exp_avg_sq/"));
  moments.merge(having_prefix(from.tensors, "first_update/"));
  live.optimizer.load(moments);
  if (live.ema != nullptr) {
    live.ema->load(without_prefix(from.tensors, "ema/"));
  }
}

void begin_anew(const std::vector<std::string>& names, std::int64_t step, LiveState& live) {
  live.optimizer.forget(names, step);
  if (live.ema != nullptr) {
    live.ema->restart(names);
  }
}

void require_equal_on_all_ranks(const TensorHashes& hashes, std::int64_t step, Collective& collective) {
  if (collective.size() == 1) {
    return;
  }
  const auto count = static_cast<std::int64_t>(hashes.size());
  at::Tensor mine = at::zeros({count}, at::kLong);
  std::vector<std::string> names;
  for (const auto& [name, hash] : hashes) {
    mine[static_cast<std::int64_t>(names.size())] = short_hash(hash);
    names.push_back(name);
  }
  at::Tensor all = at::zeros({collective.size(), count}, at::kLong);
  collective.all_gather(all, mine).wait();
  std::string differences;
  for (int rank = 1; rank < collective.size(); ++rank) {
    for (std::int64_t i = 0; i < count; ++i) {
      if (all[rank][i].item<std::int64_t>() != all[0][i].item<std::int64_t>()) {
        differences += (differences.empty() ? "" : ", ") + names[static_cast<std::size_t>(i)] + " on rank " +
                       std::to_string(rank);
      }
    }
  }
  if (!differences.empty()) {
    throw DivergedError("step " + std::to_string(step) + ": replicas differ from rank 0: " + differences +
                        " [ranks that hold different numbers train different models]; resume from the latest "
                        "checkpoint, and test the memory of the machines if it happens again");
  }
}

}  // namespace bitlaw::trainer
