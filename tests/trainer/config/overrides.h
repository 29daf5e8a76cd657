// A whole configuration in overrides, to be changed by a test.
#pragma once

#include <string>
#include <vector>

namespace bitlaw::trainer {

using Overrides = std::vector<std::string>;

inline const Overrides kDistill = {
    "run.name=r",        "task.kind=distill", "data.train=a",
    "data.validation=b", "tokenizer.from=t",  "distill.teacher=x",
    "model.width=128",   "quant.method=lsq",  "quant.weights={num_bits: 3, strategy: group, group_size: 64}"};

}  // namespace bitlaw::trainer
