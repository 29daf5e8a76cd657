// What all ranks must agree on before they act. Collective: every rank calls these in the same order.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>

#include "trainer/comm/collective.h"

namespace bitlaw::trainer {

// The first non-empty message among the ranks, with its rank in front when there are several; "" when there
// is none. Messages are cut at 2 KiB.
std::string first_message(const std::string& mine, Collective& collective);

// The bytes of rank `owner`, uint8 [n], on every rank; what other ranks hand over is not looked at.
at::Tensor bytes_of_rank(const at::Tensor& mine, int owner, Collective& collective);

// Rank 0's answer, on every rank.
bool decision_of_rank_0(bool mine, Collective& collective);

// Runs `action` on rank 0, the others wait until it is done. Its InputError (a full disk, a folder of
// another) is thrown on every rank, so that all leave alike; what else it throws is rank 0's alone.
void on_rank_0(const std::function<void()>& action, Collective& collective);

// Runs `action` on every rank. When some throw InputError, every rank throws the first one's; what else an
// action throws is its rank's alone.
void on_every_rank(const std::function<void()>& action, Collective& collective);

// InputError, on every rank, when `yaml` (a configuration, an identity) is not rank 0's: names a rank and the
// keys that differ. `what` is what the text is, for the message.
void require_same_yaml(const std::string& yaml, const std::string& what, Collective& collective);

}  // namespace bitlaw::trainer
