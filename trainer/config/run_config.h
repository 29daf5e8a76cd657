// The whole configuration of a run, as plain structs described once by visit_fields.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/config.h"
#include "data/formats/field.h"
#include "distill/config.h"
#include "quant/config.h"

namespace bitlaw::trainer {

enum class Device { automatic, cpu, cuda };
enum class ScheduleKind { constant, cosine };
enum class Precision { fp32, bf16 };
enum class Backend { automatic, mpi, thread };
enum class Reduction { fast };
enum class OptimizerName { adamw };

struct RunSection {
  std::string name;
  std::string dir = "runs";
  std::int64_t seed = 1;
  Device device = Device::automatic;
};
struct OptimConfig {
  OptimizerName name = OptimizerName::adamw;
  double lr = 1e-3;
  double scale_lr = 0.0;  // of quantiser scales; 0: lr
  std::vector<double> betas = {0.9, 0.95};
  double eps = 1e-8;
  double weight_decay = 0.05;
  double grad_clip = 1.0;
};
struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::cosine;
  std::int64_t warmup_steps = 0;
  double final_lr_ratio = 0.1;
};
struct TrainConfig {
  std::int64_t global_batch_size = 32;
  std::int64_t micro_batch_size = 16;
  std::int64_t max_steps = 100;
  Precision precision = Precision::bf16;
  double ema_decay = 0.0;  // 0: no EMA
  bool activation_checkpointing = false;
};
struct ParallelConfig {
  Backend backend = Backend::automatic;
  std::int64_t zero_stage = 0;
  double bucket_mb = 25.0;
  Reduction reduction = Reduction::fast;
  std::int64_t deadline_seconds = 300;
};
struct CheckpointConfig {
  std::int64_t interval = 0;  // 0: at the end only
  std::int64_t keep_last = 2;
  std::int64_t keep_every = 0;
  bool async = true;
};
struct EvalConfig {
  std::int64_t interval = 0;  // 0: at the end only
  std::int64_t samples = 500;
  std::int64_t micro_batch_size = 50;
};
struct LogConfig {
  std::int64_t interval = 10;
};
struct RunConfig {
  RunSection run;
  distill::TaskConfig task;
  data::DataConfig data;
  distill::TokenizerConfig tokenizer;
  distill::ModelConfig model;
  quant::QuantConfig quant;
  distill::DistillConfig distill;
  OptimConfig optim;
  ScheduleConfig schedule;
  TrainConfig train;
  ParallelConfig parallel;
  CheckpointConfig checkpoint;
  EvalConfig eval;
  LogConfig log;
};

template <class V>
void visit_fields(V& visitor, RunSection& c) {
  using data::Field;
  visitor(Field{"name", "name of the run and of its folder"}, c.name);
  visitor(Field{"dir", "folder of all runs"}, c.dir);
  visitor(Field{"seed", "seed of every random number", 0, 9e15}, c.seed);
  visitor(Field{"device", "where tensors live; auto: cuda when there is one"}, c.device);
}
template <class V>
void visit_fields(V& visitor, OptimConfig& c) {
  using data::Field;
  visitor(Field{"name", "optimiser"}, c.name);
  visitor(Field{"lr", "peak learning rate", 0, 10}, c.lr);
  visitor(Field{"scale_lr", "learning rate of quantiser scales (in their logarithm); 0: lr", 0, 10},
          c.scale_lr);
  visitor(Field{"betas", "decay of the two moments", 0, 1}, c.betas);
  visitor(Field{"eps", "added to the root of the second moment", 0, 1}, c.eps);
  visitor(
      Field{"weight_decay", "decoupled decay of weights (not of norms, biases, embeddings, scales)", 0, 10},
      c.weight_decay);
  visitor(Field{"grad_clip", "largest norm of the whole gradient; 0: no clipping", 0, 1e9}, c.grad_clip);
}
template <class V>
void visit_fields(V& visitor, ScheduleConfig& c) {
  using data::Field;
  visitor(Field{"kind", "shape of the learning rate after warm-up"}, c.kind);
  visitor(Field{"warmup_steps", "steps of linear warm-up", 0, 1e12}, c.warmup_steps);
  visitor(Field{"final_lr_ratio", "cosine: last learning rate over lr", 0, 1}, c.final_lr_ratio);
}
template <class V>
void visit_fields(V& visitor, TrainConfig& c) {
  using data::Field;
  visitor(Field{"global_batch_size", "samples of an optimiser step over all ranks", 1, 1e9},
          c.global_batch_size);
  visitor(Field{"micro_batch_size", "samples of one forward and backward on one rank", 1, 1e9},
          c.micro_batch_size);
  visitor(Field{"max_steps", "optimiser steps", 0, 1e12}, c.max_steps);
  visitor(Field{"precision", "bf16: autocast with float32 masters; fp32"}, c.precision);
  visitor(Field{"ema_decay", "decay of the moving average of masters and scales; 0: none", 0, 1},
          c.ema_decay);
  visitor(Field{"activation_checkpointing", "recompute blocks in backward to save memory"},
          c.activation_checkpointing);
}
template <class V>
void visit_fields(V& visitor, ParallelConfig& c) {
  using data::Field;
  visitor(Field{"backend", "how ranks talk; auto: mpi"}, c.backend);
  visitor(Field{"zero_stage", "what is sharded over ranks; 0: nothing", 0, 0}, c.zero_stage);
  visitor(Field{"bucket_mb", "size of a gradient bucket in MiB", 0.001, 4096}, c.bucket_mb);
  visitor(Field{"reduction", "fast: float sums, repeatable for one number of ranks"}, c.reduction);
  visitor(Field{"deadline_seconds", "a collective that takes longer is a lost peer", 1, 86400},
          c.deadline_seconds);
}
template <class V>
void visit_fields(V& visitor, CheckpointConfig& c) {
  using data::Field;
  visitor(Field{"interval", "steps between saves; 0: at the end only", 0, 1e12}, c.interval);
  visitor(Field{"keep_last", "newest checkpoints that are kept", 1, 1e6}, c.keep_last);
  visitor(Field{"keep_every", "keep those at multiples of so many steps as well; 0: no", 0, 1e12},
          c.keep_every);
  visitor(Field{"async", "write in the background; the pause is a copy"}, c.async);
}
template <class V>
void visit_fields(V& visitor, EvalConfig& c) {
  using data::Field;
  visitor(Field{"interval", "steps between evaluations; 0: at the end only", 0, 1e12}, c.interval);
  visitor(Field{"samples", "first so many validation samples", 1, 1e9}, c.samples);
  visitor(Field{"micro_batch_size", "samples of one forward; fixed, so that figures repeat", 1, 1e6},
          c.micro_batch_size);
}
template <class V>
void visit_fields(V& visitor, LogConfig& c) {
  visitor(data::Field{"interval", "steps between lines of the log", 1, 1e9}, c.interval);
}
template <class V>
void visit_fields(V& visitor, RunConfig& c) {
  using data::Field;
  visitor(Field{"run", "the run itself"}, c.run);
  visitor(Field{"task", "what is trained"}, c.task);
  visitor(Field{"data", "where samples come from"}, c.data);
  visitor(Field{"tokenizer", "the tokenizer whose tokens are modelled"}, c.tokenizer);
  visitor(Field{"model", "the network that is trained"}, c.model);
  visitor(Field{"quant", "its quantisation"}, c.quant);
  visitor(Field{"distill", "teacher and loss (task.kind: distill)"}, c.distill);
  visitor(Field{"optim", "optimiser"}, c.optim);
  visitor(Field{"schedule", "learning rate over steps"}, c.schedule);
  visitor(Field{"train", "batches, steps, precision"}, c.train);
  visitor(Field{"parallel", "ranks"}, c.parallel);
  visitor(Field{"checkpoint", "saving"}, c.checkpoint);
  visitor(Field{"eval", "validation during training"}, c.eval);
  visitor(Field{"log", "logging"}, c.log);
}

}  // namespace bitlaw::trainer

namespace bitlaw::data {
template <>
struct EnumNames<trainer::Device> {
  static constexpr std::string_view names[] = {"auto", "cpu", "cuda"};
};
template <>
struct EnumNames<trainer::ScheduleKind> {
  static constexpr std::string_view names[] = {"constant", "cosine"};
};
template <>
struct EnumNames<trainer::Precision> {
  static constexpr std::string_view names[] = {"fp32", "bf16"};
};
template <>
struct EnumNames<trainer::Backend> {
  static constexpr std::string_view names[] = {"auto", "mpi", "thread"};
};
template <>
struct EnumNames<trainer::Reduction> {
  static constexpr std::string_view names[] = {"fast"};
};
template <>
struct EnumNames<trainer::OptimizerName> {
  static constexpr std::string_view names[] = {"adamw"};
};
}  // namespace bitlaw::data
