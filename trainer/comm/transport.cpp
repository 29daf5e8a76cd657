#include "trainer/comm/transport.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace bitlaw::trainer {

namespace {

constexpr std::array<std::string_view, 5> kKindNames = {"all_reduce", "reduce_scatter", "all_gather",
                                                        "broadcast", "barrier"};
constexpr std::array<std::string_view, 3> kOpNames = {"sum", "minimum", "maximum"};

template <class T>
void combine_as(void* into, const void* a, const void* b, std::int64_t count, ReduceOp op) {
  auto* out = static_cast<T*>(into);
  const auto* x = static_cast<const T*>(a);
  const auto* y = static_cast<const T*>(b);
  switch (op) {
    case ReduceOp::sum:
      for (std::int64_t i = 0; i < count; ++i) {
        out[i] = static_cast<T>(x[i] + y[i]);
      }
      break;
    case ReduceOp::minimum:
      for (std::int64_t i = 0; i < count; ++i) {
        out[i] = std::min(x[i], y[i]);
      }
      break;
    case ReduceOp::maximum:
      for (std::int64_t i = 0; i < count; ++i) {
        out[i] = std::max(x[i], y[i]);
      }
      break;
  }
}

}  // namespace

std::int64_t Call::count() const {
  return output.defined() ? output.numel() : 0;
}

at::ScalarType Call::dtype() const {
  return output.defined() ? output.scalar_type() : at::kByte;
}

std::string Signature::to_string() const {
  const auto which = static_cast<OperationKind>(kind);
  std::string text(kKindNames.at(static_cast<std::size_t>(kind)));
  if (which == OperationKind::barrier) {
    return text;
  }
  if (which == OperationKind::all_reduce || which == OperationKind::reduce_scatter) {
    text += '(' + std::string(kOpNames.at(static_cast<std::size_t>(op))) + ')';
  } else if (which == OperationKind::broadcast) {
    text += " from rank " + std::to_string(root);
  }
  return text + " of " + std::to_string(count) + ' ' + c10::toString(static_cast<at::ScalarType>(dtype));
}

Signature signature_of(const Call& call) {
  const bool reduces = call.kind == OperationKind::all_reduce || call.kind == OperationKind::reduce_scatter;
  return {call.sequence,
          static_cast<std::int64_t>(call.kind),
          reduces ? static_cast<std::int64_t>(call.op) : 0,
          call.root,
          static_cast<std::int64_t>(call.dtype()),
          call.count()};
}

std::string mismatch_message(int rank, const Signature& mine, int peer, const Signature& theirs) {
  return "rank " + std::to_string(rank) + " called " + mine.to_string() + " where rank " +
         std::to_string(peer) + " called " + theirs.to_string() + " (call " + std::to_string(mine.sequence) +
         " of the group) [ranks that disagree would exchange wrong data]";
}

void combine(void* into, const void* a, const void* b, std::int64_t count, at::ScalarType dtype,
             ReduceOp op) {
  switch (dtype) {
    case at::kFloat:
      return combine_as<float>(into, a, b, count, op);
    case at::kDouble:
      return combine_as<double>(into, a, b, count, op);
    case at::kLong:
      return combine_as<std::int64_t>(into, a, b, count, op);
    case at::kByte:
      return combine_as<std::uint8_t>(into, a, b, count, op);
    default:
      throw std::invalid_argument(std::string("no reduction of ") + c10::toString(dtype));
  }
}

}  // namespace bitlaw::trainer
