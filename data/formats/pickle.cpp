#include "data/formats/pickle.h"

#include "data/formats/pickle_machine.h"
#include "data/formats/pickle_opcodes.h"

namespace bitlaw::data::pickle {

std::uint32_t Machine::add(PickleKind kind) {
  if (graph_.nodes.size() >= kMostPickleNodes) {
    fail("more than " + std::to_string(kMostPickleNodes) + " values");
  }
  graph_.nodes.emplace_back();
  graph_.nodes.back().kind = kind;
  graph_.nodes.back().offset = start_;
  return static_cast<std::uint32_t>(graph_.nodes.size() - 1);
}

std::uint32_t Machine::pop() {
  return pop_last(1).front();
}

Machine::Items Machine::pop_last(std::size_t count) {
  const std::size_t floor = marks_.empty() ? 0 : marks_.back();
  if (stack_.size() - floor < count) {
    fail("an opcode takes a value that is not there");
  }
  spend(count);
  const auto begin = stack_.end() - static_cast<std::ptrdiff_t>(count);
  Items items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  return items;
}

Machine::Items Machine::pop_mark() {
  if (marks_.empty()) {
    fail("an opcode takes a mark that is not there");
  }
  Items items = pop_last(stack_.size() - marks_.back());
  marks_.pop_back();
  return items;
}

PickleNode& Machine::top_of(PickleKind kind, const char* what) {
  const std::size_t floor = marks_.empty() ? 0 : marks_.back();
  if (stack_.size() == floor || node(stack_.back()).kind != kind) {
    fail(std::string("items are put into something that is no ") + what);
  }
  return node(stack_.back());
}

void Machine::remember(std::uint64_t key) {
  if (stack_.empty() || memo_.size() > kMostPickleNodes) {
    fail("it remembers a value that is not there, or too many");
  }
  memo_[key] = stack_.back();
}

void Machine::recall(std::uint64_t key) {
  const auto found = memo_.find(key);
  if (found == memo_.end()) {
    fail("it recalls value " + std::to_string(key) + ", which it never remembered");
  }
  stack_.push_back(found->second);
}

void Machine::step(std::uint8_t opcode) {
  if (step_value(opcode) || step_container(opcode) || step_object(opcode)) {
    return;
  }
  switch (opcode) {
    case kBinPut:
      return remember(number<std::uint8_t>());
    case kLongBinPut:
      return remember(number<std::uint32_t>());
    case kMemoize:
      return remember(memo_.size());
    case kBinGet:
      return recall(number<std::uint8_t>());
    case kLongBinGet:
      return recall(number<std::uint32_t>());
    case kFrame:
      take(sizeof(std::uint64_t));
      return;
    default:
      fail("it holds opcode " + std::to_string(opcode) + ", which is not on the list of what is read");
  }
}

PickleGraph Machine::run() {
  if (number<std::uint8_t>() != kProtocol) {
    fail("it does not begin with the number of a protocol");
  }
  if (const auto protocol = number<std::uint8_t>(); protocol < 2 || protocol > 5) {
    fail("it is of protocol " + std::to_string(protocol) + ", 2 to 5 are read");
  }
  for (;;) {
    start_ = position_;
    spend(0);
    const auto opcode = number<std::uint8_t>();
    if (opcode == kStop) {
      break;
    }
    step(opcode);
  }
  if (stack_.size() != 1 || !marks_.empty() || position_ != bytes_.size()) {
    fail("it ends with " + std::to_string(stack_.size()) + " values and " +
         std::to_string(bytes_.size() - position_) + " bytes left over");
  }
  graph_.root = stack_.front();
  return std::move(graph_);
}

}  // namespace bitlaw::data::pickle

namespace bitlaw::data {

PickleGraph read_pickle(std::span<const std::byte> bytes, std::span<const PickleGlobal> allowed,
                        const std::string& origin) {
  if (bytes.size() > kLargestPickle) {
    throw InputError(origin + ": a pickle of " + std::to_string(bytes.size()) + " bytes",
                     std::to_string(kLargestPickle) + " are the most", "save only the tensors of the model");
  }
  return pickle::Machine(bytes, allowed, origin).run();
}

}  // namespace bitlaw::data
