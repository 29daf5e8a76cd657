// The whole configuration of a run, as plain structs described once by visit_fields.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/config.h"
#include "data/formats/field.h"
#include "distill/config.h"
#include "quant/config.h"
#include "trainer/config/places.h"

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
  Places places;  // of the keys that were given; no part of the configuration, empty unless it was read
};

template <class V>
void visit_fields(V& visitor, RunSection& c) {
  using data::Field;
  visitor(Field{"name", "name of the run; its folder is run.dir/run.name"}, c.name);
  visitor(Field{"dir", "folder that holds the folders of all runs"}, c.dir);
  visitor(
      Field{"seed", "seed of every random number: initial weights, order of samples, label drop", 0, 9e15},
      c.seed);
  visitor(Field{"device", "where tensors live; auto takes a GPU when there is one"}, c.device);
}
template <class V>
void visit_fields(V& visitor, OptimConfig& c) {
  using data::Field;
  visitor(Field{"name", "optimiser"}, c.name);
  visitor(Field{"lr", "learning rate at the end of the warm-up, the highest", 0, 10}, c.lr);
  visitor(Field{"scale_lr",
                "the same for learned quantiser scales, which are trained as logarithms; 0 takes lr", 0, 10},
          c.scale_lr);
  visitor(Field{"betas", "decay a step of the averages of the gradient and of its square", 0, 1}, c.betas);
  visitor(Field{"eps", "added to the root of the second moment", 0, 1}, c.eps);
  visitor(
      Field{"weight_decay",
            "decoupled decay of weights; norms, biases, embeddings and quantiser scales have none", 0, 10},
      c.weight_decay);
  visitor(Field{"grad_clip",
                "a gradient whose norm over all parameters is larger is scaled down to it; 0: never", 0, 1e9},
          c.grad_clip);
}
template <class V>
void visit_fields(V& visitor, ScheduleConfig& c) {
  using data::Field;
  visitor(Field{"kind",
                "learning rate after the warm-up: constant, or half a cosine down to lr x final_lr_ratio at "
                "max_steps"},
          c.kind);
  visitor(Field{"warmup_steps", "steps over which the learning rate rises linearly to lr", 0, 1e12},
          c.warmup_steps);
  visitor(Field{"final_lr_ratio", "cosine: learning rate of the last step over lr", 0, 1}, c.final_lr_ratio);
}
template <class V>
void visit_fields(V& visitor, TrainConfig& c) {
  using data::Field;
  visitor(Field{"global_batch_size",
                "samples of one optimiser step over all ranks; a multiple of ranks x micro_batch_size, "
                "accumulation makes up the rest",
                1, 1e9},
          c.global_batch_size);
  visitor(Field{"micro_batch_size",
                "samples of one forward and backward on one rank; decides memory, and the result within "
                "rounding only",
                1, 1e9},
          c.micro_batch_size);
  visitor(Field{"max_steps",
                "optimiser steps of the whole run; may grow on resume where the learning rates so far stay "
                "the same",
                0, 1e12},
          c.max_steps);
  visitor(Field{"precision",
                "bf16: matrix products in bfloat16, masters in float32; fp32: everything in float32"},
          c.precision);
  visitor(Field{"ema_decay",
                "decay a step of the moving averages of masters and scales, which can be exported and taught "
                "from; 0: none",
                0, 1},
          c.ema_decay);
  visitor(Field{"activation_checkpointing",
                "compute blocks again in backward: less memory, more time, the same result"},
          c.activation_checkpointing);
}
template <class V>
void visit_fields(V& visitor, ParallelConfig& c) {
  using data::Field;
  visitor(Field{"backend", "how ranks talk; auto: MPI under mpirun or srun, else a single rank"}, c.backend);
  visitor(Field{"zero_stage", "what is sharded over ranks; 0: nothing", 0, 0}, c.zero_stage);
  visitor(Field{"bucket_mb", "gradients are reduced in buckets of so many MiB while backward goes on", 0.001,
                4096},
          c.bucket_mb);
  visitor(Field{"reduction", "fast: floating-point sums, which repeat their bits for one number of ranks"},
          c.reduction);
  visitor(
      Field{"deadline_seconds",
            "a collective that takes longer is a lost peer: the program leaves with code 75, to be run again",
            1, 86400},
      c.deadline_seconds);
}
template <class V>
void visit_fields(V& visitor, CheckpointConfig& c) {
  using data::Field;
  visitor(Field{"interval", "steps between saves; 0: at the end and when stopped only", 0, 1e12}, c.interval);
  visitor(Field{"keep_last", "so many of the newest checkpoints are kept", 1, 1e6}, c.keep_last);
  visitor(
      Field{"keep_every", "checkpoints at multiples of so many steps are kept for ever; 0: none is", 0, 1e12},
      c.keep_every);
  visitor(Field{"async", "write in the background: training pauses for a copy of the state only"}, c.async);
}
template <class V>
void visit_fields(V& visitor, EvalConfig& c) {
  using data::Field;
  visitor(Field{"interval", "steps between evaluations; 0: at the end only", 0, 1e12}, c.interval);
  visitor(
      Field{"samples", "so many validation samples from the first on are used, without label drop", 1, 1e9},
      c.samples);
  visitor(
      Field{"micro_batch_size",
            "samples of one forward; fixed, so that figures do not depend on the number of ranks", 1, 1e6},
      c.micro_batch_size);
}
template <class V>
void visit_fields(V& visitor, LogConfig& c) {
  visitor(data::Field{"interval", "steps between lines of the log; metrics.jsonl has a line for every step",
                      1, 1e9},
          c.interval);
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
