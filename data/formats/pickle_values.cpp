// Opcodes that make numbers, texts and containers.
#include <algorithm>
#include <array>

#include "data/formats/pickle_machine.h"
#include "data/formats/pickle_opcodes.h"

namespace bitlaw::data::pickle {

std::string Machine::text(std::uint64_t length) {
  std::string text;
  for (const std::byte byte : take(length)) {
    text.push_back(static_cast<char>(byte));
  }
  return text;
}

void Machine::push_long() {
  const auto length = number<std::uint8_t>();
  const auto bytes = take(length);
  if (length > sizeof(std::int64_t)) {
    push(PickleKind::opaque);
    return;
  }
  std::uint64_t value =
      length > 0 && (bytes.back() & std::byte{0x80}) != std::byte{0} ? ~std::uint64_t{0} : 0;
  for (std::size_t i = length; i-- > 0;) {
    value = value << 8U | static_cast<std::uint64_t>(bytes[i]);
  }
  push_integer(static_cast<std::int64_t>(value));
}

// The one number that is big-endian.
void Machine::push_real() {
  const auto bytes = take(sizeof(double));
  std::array<std::byte, sizeof(double)> reversed{};
  std::reverse_copy(bytes.begin(), bytes.end(), reversed.begin());
  push(PickleKind::real).real = from_little_endian<double>(reversed);
}

void Machine::push_text(std::uint64_t length) {
  std::string value = text(length);
  push(PickleKind::text).text = std::move(value);
}

bool Machine::step_value(std::uint8_t opcode) {
  switch (opcode) {
    case kNone:
      stack_.push_back(kNoneNode);
      return true;
    case kNewTrue:
      stack_.push_back(kTrueNode);
      return true;
    case kNewFalse:
      stack_.push_back(kFalseNode);
      return true;
    case kBinInt:
      push_integer(number<std::int32_t>());
      return true;
    case kBinInt1:
      push_integer(number<std::uint8_t>());
      return true;
    case kBinInt2:
      push_integer(number<std::uint16_t>());
      return true;
    case kLong1:
      push_long();
      return true;
    case kBinFloat:
      push_real();
      return true;
    case kBinUnicode:
      push_text(number<std::uint32_t>());
      return true;
    case kShortBinUnicode:
      push_text(number<std::uint8_t>());
      return true;
    default:
      return false;
  }
}

void Machine::append(const Items& items, PickleKind kind) {
  PickleNode& into = top_of(kind, kind == PickleKind::dict ? "dict" : "list");
  if (kind == PickleKind::dict && items.size() % 2 != 0) {
    fail("a key of a dict has no value");
  }
  into.items.insert(into.items.end(), items.begin(), items.end());
}

bool Machine::step_container(std::uint8_t opcode) {
  switch (opcode) {
    case kMark:
      if (marks_.size() == kMostMarks) {
        fail("more than " + std::to_string(kMostMarks) + " containers are open at once");
      }
      marks_.push_back(stack_.size());
      return true;
    case kEmptyTuple:
      push_tuple({});
      return true;
    case kTuple1:
    case kTuple2:
    case kTuple3:
      push_tuple(pop_last(opcode - kTuple1 + 1U));
      return true;
    case kTuple:
      push_tuple(pop_mark());
      return true;
    case kEmptyList:
    case kEmptySet:
      push(PickleKind::list);
      return true;
    case kEmptyDict:
      push(PickleKind::dict).integer = kPlainDict;
      return true;
    case kAppend:
      append(pop_last(1), PickleKind::list);
      return true;
    case kAppends:
    case kAddItems:
      append(pop_mark(), PickleKind::list);
      return true;
    case kSetItem:
      append(pop_last(2), PickleKind::dict);
      return true;
    case kSetItems:
      append(pop_mark(), PickleKind::dict);
      return true;
    default:
      return false;
  }
}

}  // namespace bitlaw::data::pickle
