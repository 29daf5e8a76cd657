#include "trainer/agreement.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "data/formats/input_error.h"
#include "trainer/config/identity.h"

namespace bitlaw::trainer {

namespace {

constexpr std::int64_t kMessageBytes = 2048;

std::string text_of_rank_0(const std::string& mine, Collective& collective) {
  at::Tensor bytes = at::empty({static_cast<std::int64_t>(mine.size())}, at::kByte);
  std::copy(mine.begin(), mine.end(), static_cast<char*>(bytes.mutable_data_ptr()));
  const at::Tensor found = bytes_of_rank(bytes, 0, collective);
  return found.numel() == 0 ? std::string()
                            : std::string{static_cast<const char*>(found.const_data_ptr()), found.nbytes()};
}

// "" when there is none.
std::string failure_of(const std::function<void()>& action) {
  try {
    action();
    return "";
  } catch (const data::InputError& error) {
    return error.what();
  }
}

void throw_if_any(const std::string& failure) {
  if (!failure.empty()) {
    throw data::InputError(failure);
  }
}

}  // namespace

std::string first_message(const std::string& mine, Collective& collective) {
  at::Tensor text = at::zeros({kMessageBytes}, at::kByte);
  std::memcpy(text.data_ptr(), mine.data(), std::min<std::size_t>(mine.size(), kMessageBytes - 1));
  at::Tensor all = at::zeros({collective.size() * kMessageBytes}, at::kByte);
  collective.all_gather(all, text).wait();
  for (int rank = 0; rank < collective.size(); ++rank) {
    const char* found = static_cast<const char*>(all.const_data_ptr()) + rank * kMessageBytes;
    if (*found != '\0') {
      return collective.size() == 1 ? found : "rank " + std::to_string(rank) + ": " + found;
    }
  }
  return "";
}

at::Tensor bytes_of_rank(const at::Tensor& mine, int owner, Collective& collective) {
  const bool is_mine = collective.rank() == owner;
  at::Tensor size = at::full({1}, is_mine ? mine.numel() : 0, at::kLong);
  collective.broadcast(size, owner).wait();
  if (size.item<std::int64_t>() == 0) {
    return at::empty({0}, at::kByte);
  }
  at::Tensor bytes = is_mine ? mine.contiguous() : at::empty({size.item<std::int64_t>()}, at::kByte);
  collective.broadcast(bytes, owner).wait();
  return bytes;
}

bool decision_of_rank_0(bool mine, Collective& collective) {
  at::Tensor decision = at::full({1}, mine ? 1 : 0, at::kLong);
  collective.broadcast(decision, 0).wait();
  return decision.item<std::int64_t>() != 0;
}

void on_rank_0(const std::function<void()>& action, Collective& collective) {
  throw_if_any(text_of_rank_0(collective.rank() == 0 ? failure_of(action) : std::string(), collective));
}

void on_every_rank(const std::function<void()>& action, Collective& collective) {
  throw_if_any(first_message(failure_of(action), collective));
}

void require_same_yaml(const std::string& yaml, const std::string& what, Collective& collective) {
  const std::string wanted = text_of_rank_0(yaml, collective);
  std::string mine;
  if (yaml != wanted) {
    for (const std::string& difference : identity_differences(wanted, yaml)) {
      mine.append(mine.empty() ? "" : "; ").append(difference);
    }
    if (mine.empty()) {
      mine = "the text differs";
    }
  }
  const std::string found = first_message(mine, collective);
  if (!found.empty()) {
    throw data::InputError(what + " is not the same on all ranks: " + found + " ('was' is rank 0's)",
                           "ranks that work on different things make a model that no configuration describes",
                           "give every rank the same files and the same command line");
  }
}

}  // namespace bitlaw::trainer
