#include "distill/shared_codes.h"

#include <ATen/ATen.h>

#include <cstring>
#include <stdexcept>
#include <string>

#include "data/formats/input_error.h"
#include "quant/methods/codes_message.h"

namespace bitlaw::distill {

namespace {

// First byte of a message: what comes after it.
constexpr std::uint8_t kCodes = 0;
constexpr std::uint8_t kInputError = 1;
constexpr std::uint8_t kFailure = 2;  // of any other kind: the others must not wait for codes

at::Tensor with_kind(std::uint8_t kind, const at::Tensor& bytes) {
  return at::cat({at::full({1}, kind, at::kByte), bytes});
}

at::Tensor with_kind(std::uint8_t kind, const std::string& text) {
  at::Tensor bytes = at::empty({static_cast<std::int64_t>(text.size())}, at::kByte);
  std::memcpy(bytes.mutable_data_ptr(), text.data(), text.size());
  return with_kind(kind, bytes);
}

at::Tensor message_of(const std::function<quant::LayerCodes(std::int64_t)>& make, std::int64_t i) {
  try {
    return with_kind(kCodes, quant::to_message(make(i)));
  } catch (const data::InputError& error) {
    return with_kind(kInputError, error.what());
  } catch (const std::exception& error) {
    return with_kind(kFailure, error.what());
  }
}

quant::LayerCodes read(const at::Tensor& message) {
  const at::Tensor rest = message.slice(0, 1).contiguous();
  const auto kind = message[0].item<std::uint8_t>();
  if (kind == kCodes) {
    return quant::from_message(rest);
  }
  const std::string text(static_cast<const char*>(rest.const_data_ptr()), rest.nbytes());
  if (kind == kInputError) {
    throw data::InputError(text);
  }
  throw std::runtime_error(text);
}

}  // namespace

std::vector<quant::LayerCodes> shared_codes(std::int64_t count,
                                            const std::function<quant::LayerCodes(std::int64_t)>& make,
                                            const RankGroup& group) {
  if (group.poll) {
    group.poll();
  }
  std::vector<quant::LayerCodes> codes;
  if (group.size == 1) {
    for (std::int64_t i = 0; i < count; ++i) {
      codes.push_back(make(i));
    }
    return codes;
  }
  std::vector<at::Tensor> messages(static_cast<std::size_t>(count));
  for (std::int64_t i = group.rank; i < count; i += group.size) {  // all the work before the first wait
    messages[static_cast<std::size_t>(i)] = message_of(make, i);
  }
  for (std::int64_t i = 0; i < count; ++i) {
    at::Tensor& message = messages[static_cast<std::size_t>(i)];
    codes.push_back(read(group.broadcast(message, static_cast<int>(i % group.size))));
    message = at::Tensor();
  }
  return codes;
}

}  // namespace bitlaw::distill
