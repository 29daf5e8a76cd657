// A pickle as plain data: values and names of calls, nothing is ever executed. Torch-free.
//
// Opcodes: those that Python's pickler writes in protocols 2 to 5 for None, truth values, numbers, texts,
// tuples, lists, dicts, sets, and objects of classes that the caller names; every other opcode and every
// other class or function is refused by its name and the byte where it stands.
//
// The result is a graph: a value that is used twice, or inside itself, is one node. Whoever walks it must
// bound depth and steps. Limits: kLargestPickle bytes, kMostPickleNodes nodes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bitlaw::data {

inline constexpr std::uint64_t kLargestPickle = std::uint64_t{1} << 26;  // bytes
inline constexpr std::size_t kMostPickleNodes = std::size_t{1} << 21;

enum class PickleKind {
  none,
  boolean,
  integer,  // of up to 64 bits; wider ones are `opaque`
  real,
  text,
  tuple,
  list,
  dict,
  global,      // a class or function of the allow-list
  call,        // of a function: what it would have made
  persistent,  // an object that lies outside the pickle
  opaque       // a value that no caller looks into
};

// What may be done with a class or function.
enum class PickleUse {
  value,    // only named
  call,     // makes a `call` of its arguments
  dict,     // makes an empty dict; state set on it is an attribute and is dropped
  object,   // makes an empty dict; state set on it is its members
  list,     // makes a list of its one argument
  tuple,    // makes a tuple of its one argument
  argument  // makes its first argument
};

struct PickleGlobal {
  std::string_view module;
  std::string_view name;
  PickleUse use = PickleUse::value;
};

struct PickleNode {
  PickleKind kind = PickleKind::none;
  std::int64_t integer = 0;  // boolean: 0 or 1; global, call: index in the allow-list; dict: the same, or -1
  double real = 0;
  std::string text;
  // Tuple, list: the elements; dict: key, value, key, value...; call: the arguments; persistent: its one
  // name.
  std::vector<std::uint32_t> items;
  std::uint64_t offset = 0;  // of the opcode that made it
};

struct PickleGraph {
  std::vector<PickleNode> nodes;
  std::uint32_t root = 0;
};

// InputError naming `origin`, the opcode, class or limit, and the byte.
PickleGraph read_pickle(std::span<const std::byte> bytes, std::span<const PickleGlobal> allowed,
                        const std::string& origin);

}  // namespace bitlaw::data
