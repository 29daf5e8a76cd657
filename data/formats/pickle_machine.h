// The stack machine behind read_pickle. Torch-free.
//
// The stack, the memo and the items of containers hold indices into the graph's nodes. Nothing here calls
// back into anything: a call of the pickle makes a node that says so.
#pragma once

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "data/formats/input_error.h"
#include "data/formats/little_endian.h"
#include "data/formats/pickle.h"

namespace bitlaw::data::pickle {

constexpr std::size_t kLongestGlobal = 256;               // bytes of a module's or a class's name
constexpr std::size_t kMostItems = std::size_t{1} << 23;  // in all containers, and on the stack
constexpr std::size_t kMostMarks = std::size_t{1} << 16;  // open at once: as deep as containers nest
constexpr std::int64_t kPlainDict = -1;                   // instead of an index in the allow-list
constexpr std::uint32_t kNoneNode = 0;
constexpr std::uint32_t kFalseNode = 1;
constexpr std::uint32_t kTrueNode = 2;

// One pickle, read once: Machine(...).run().
class Machine {
 public:
  Machine(std::span<const std::byte> bytes, std::span<const PickleGlobal> allowed, const std::string& origin)
      : bytes_(bytes), allowed_(allowed), origin_(origin) {
    for (const PickleKind kind : {PickleKind::none, PickleKind::boolean, PickleKind::boolean}) {
      add(kind);
    }
    graph_.nodes[kTrueNode].integer = 1;
  }

  PickleGraph run();

 private:
  using Items = std::vector<std::uint32_t>;

  [[noreturn]] void fail(const std::string& what) const {
    throw InputError(origin_ + ": byte " + std::to_string(start_) + " of the pickle: " + what,
                     "only plain containers and tensors are read, nothing of a file is ever executed",
                     "save a dict of tensors with torch.save(model.state_dict(), ...)");
  }
  std::span<const std::byte> take(std::uint64_t count) {
    if (count > bytes_.size() - position_) {
      fail("it ends inside an opcode");
    }
    position_ += count;
    return bytes_.subspan(position_ - count, count);
  }
  template <typename T>
  T number() {
    return from_little_endian<T>(take(sizeof(T)));
  }
  std::string text(std::uint64_t length);
  std::string line();

  std::uint32_t add(PickleKind kind);
  PickleNode& node(std::uint32_t index) { return graph_.nodes[index]; }
  PickleNode& push(PickleKind kind) {
    stack_.push_back(add(kind));
    return node(stack_.back());
  }
  void push_integer(std::int64_t value) { push(PickleKind::integer).integer = value; }
  // Every copy into a container is paid for: a list of a list of a list grows faster than its pickle.
  void spend(std::size_t items) {
    items_ += items;
    if (items_ > kMostItems || stack_.size() > kMostItems) {
      fail("more than " + std::to_string(kMostItems) + " items in its containers");
    }
  }
  std::uint32_t pop();
  Items pop_last(std::size_t count);
  Items pop_mark();
  PickleNode& top_of(PickleKind kind, const char* what);

  void step(std::uint8_t opcode);
  bool step_value(std::uint8_t opcode);
  bool step_container(std::uint8_t opcode);
  bool step_object(std::uint8_t opcode);
  void push_long();
  void push_real();
  void push_text(std::uint64_t length);
  void push_tuple(Items items) { push(PickleKind::tuple).items = std::move(items); }
  void append(const Items& items, PickleKind kind);
  void push_global(const std::string& module, const std::string& name);
  void call();
  void construct();
  void build();
  std::uint32_t add_container(PickleKind kind, std::int64_t index, const Items& items);
  std::uint32_t made_by(std::uint32_t function, const Items& arguments);
  void remember(std::uint64_t key);
  void recall(std::uint64_t key);

  std::span<const std::byte> bytes_;
  std::span<const PickleGlobal> allowed_;
  const std::string& origin_;
  std::uint64_t position_ = 0;
  std::uint64_t start_ = 0;  // of the current opcode
  PickleGraph graph_;
  Items stack_;
  std::vector<std::size_t> marks_;
  std::size_t items_ = 0;
  std::unordered_map<std::uint64_t, std::uint32_t> memo_;
};

}  // namespace bitlaw::data::pickle
