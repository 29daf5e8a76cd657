// Opcodes that name classes and call functions: what they would make is written down, nothing is run.
#include <algorithm>

#include "data/formats/pickle_machine.h"
#include "data/formats/pickle_opcodes.h"
#include "data/formats/tensor_name.h"

namespace bitlaw::data::pickle {

std::string Machine::line() {
  const auto rest = bytes_.subspan(position_);
  const auto end = std::find(rest.begin(), rest.end(), std::byte{'\n'});
  const auto length = static_cast<std::uint64_t>(end - rest.begin());
  if (end == rest.end() || length > kLongestGlobal) {
    fail("the name of a class does not end");
  }
  std::string name = text(length);
  take(1);
  return name;
}

void Machine::push_global(const std::string& module, const std::string& name) {
  for (std::size_t i = 0; i < allowed_.size(); ++i) {
    if (allowed_[i].module == module && allowed_[i].name == name) {
      push(PickleKind::global).integer = static_cast<std::int64_t>(i);
      return;
    }
  }
  fail("it names '" + printable(module + "." + name) + "', which is not on the list of what is read");
}

std::uint32_t Machine::add_container(PickleKind kind, std::int64_t index, const Items& items) {
  spend(items.size());
  const std::uint32_t made = add(kind);
  node(made).integer = index;
  node(made).items = items;
  return made;
}

// What calling `function` with `arguments` stands for.
std::uint32_t Machine::made_by(std::uint32_t function, const Items& arguments) {
  if (node(function).kind != PickleKind::global) {
    fail("it calls something that is no function");
  }
  const std::int64_t index = node(function).integer;
  const PickleGlobal& global = allowed_[static_cast<std::size_t>(index)];
  const PickleKind first = arguments.empty() ? PickleKind::none : node(arguments[0]).kind;
  const bool has_items = arguments.size() == 1 && (first == PickleKind::list || first == PickleKind::tuple);
  if (global.use == PickleUse::call) {
    return add_container(PickleKind::call, index, arguments);
  }
  if ((global.use == PickleUse::dict || global.use == PickleUse::object) && arguments.empty()) {
    return add_container(PickleKind::dict, index, {});
  }
  if (global.use == PickleUse::list && has_items) {
    return add_container(PickleKind::list, 0, Items(node(arguments[0]).items));
  }
  if (global.use == PickleUse::tuple && has_items) {
    return add_container(PickleKind::tuple, 0, Items(node(arguments[0]).items));
  }
  if (global.use == PickleUse::argument && !arguments.empty()) {
    return arguments[0];
  }
  fail("it calls '" + std::string(global.module) + "." + std::string(global.name) +
       "' in a way that is not read");
}

void Machine::call() {
  const Items popped = pop_last(2);
  if (node(popped[1]).kind != PickleKind::tuple) {
    fail("it calls a function with something that is no tuple of arguments");
  }
  spend(node(popped[1]).items.size());
  const Items arguments = node(popped[1]).items;
  stack_.push_back(made_by(popped[0], arguments));
}

void Machine::build() {
  const std::uint32_t state = pop();
  const PickleNode& target = top_of(PickleKind::dict, "dict");
  const std::int64_t index = target.integer;
  const PickleUse use =
      index == kPlainDict ? PickleUse::value : allowed_[static_cast<std::size_t>(index)].use;
  if (use == PickleUse::object && node(state).kind == PickleKind::dict) {
    spend(node(state).items.size());
    const Items members = node(state).items;
    append(members, PickleKind::dict);
  } else if (use != PickleUse::dict) {
    fail("it sets the state of something that has none");
  }
}

bool Machine::step_object(std::uint8_t opcode) {
  switch (opcode) {
    case kGlobal: {
      const std::string module = line();
      push_global(module, line());
      return true;
    }
    case kStackGlobal: {
      const Items names = pop_last(2);
      if (node(names[0]).kind != PickleKind::text || node(names[1]).kind != PickleKind::text) {
        fail("the name of a class is no text");
      }
      push_global(std::string(node(names[0]).text), std::string(node(names[1]).text));
      return true;
    }
    case kReduce:
    case kNewObject:
      call();
      return true;
    case kBuild:
      build();
      return true;
    case kBinPersid: {
      const std::uint32_t name = pop();
      push(PickleKind::persistent).items = {name};
      return true;
    }
    default:
      return false;
  }
}

}  // namespace bitlaw::data::pickle
