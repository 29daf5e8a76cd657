#include "data/formats/torch_tensors.h"

#include <algorithm>
#include <optional>

#include "data/formats/input_error.h"
#include "data/formats/tensor_name.h"
#include "data/formats/torch_globals.h"

namespace bitlaw::data {

namespace {

constexpr std::size_t kMostSteps = std::size_t{1} << 20;  // a value that is used twice is walked twice
constexpr std::uint64_t kMostNameBytes = std::uint64_t{1}
                                         << 26;  // of all tensors and their storages together
// Tables of extents and strides may be this many times as large as the pickle's values, which a tensor that
// is there for the first time has more than twice of.
constexpr std::size_t kMostUses = 16;
constexpr std::size_t kMostDimensions = 64;

class Walk {
 public:
  Walk(const PickleGraph& graph, const ZipArchive& archive, const std::string& folder)
      : graph_(graph), archive_(archive), folder_(folder) {
    std::uint64_t stored = 0;
    for (const auto& [name, entry] : archive.entries()) {
      stored += entry.size;
    }
    most_shown_bytes_ = most_shown_bytes(stored);
  }

  std::map<std::string, TorchTensorEntry> run() {
    const PickleNode& root = graph_.nodes[graph_.root];
    visit(graph_.root, root.kind == PickleKind::call ? "tensor" : "", 0);
    return std::move(tensors_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw InputError(archive_.path().string() + ": " + what, "torch.save does not write such files",
                     "get the file again from where it came, or save it again with torch.save");
  }
  [[noreturn]] void fail_tensor(const std::string& name, const std::string& what) const {
    fail("tensor '" + printable(name) + "' " + what);
  }

  bool may_hold_tensors(std::uint32_t index) const {
    const PickleKind kind = graph_.nodes[index].kind;
    return kind == PickleKind::dict || kind == PickleKind::list || kind == PickleKind::tuple ||
           kind == PickleKind::call;
  }
  void visit(std::uint32_t index, const std::string& path, int depth);
  std::string joined(const std::string& path, const std::string& key) const;
  std::string key_text(const PickleNode& key, const std::string& path) const;
  void add_tensor(const std::string& name, const PickleNode& call, TorchRole role);
  void keep(const std::string& name, TorchTensorEntry entry);

  const PickleNode& argument(const PickleNode& call, std::size_t i, const std::string& name) const;
  std::uint64_t storage_elements(const PickleNode& persistent, TorchTensorEntry& entry, bool is_typed,
                                 const std::string& name) const;
  std::vector<std::int64_t> extents(const PickleNode& tuple, const std::string& name) const;
  void check_view(const TorchTensorEntry& entry, std::uint64_t elements, const std::string& name) const;

  const PickleGraph& graph_;
  const ZipArchive& archive_;
  const std::string& folder_;
  std::map<std::string, TorchTensorEntry> tensors_;
  std::size_t steps_ = 0;
  std::uint64_t name_bytes_ = 0;
  std::size_t table_entries_ = 0;
  std::uint64_t shown_bytes_ = 0;
  std::uint64_t most_shown_bytes_ = 0;
};

void Walk::visit(std::uint32_t index, const std::string& path, int depth) {
  const PickleNode& node = graph_.nodes[index];
  const bool is_dict = node.kind == PickleKind::dict;
  const bool is_list = node.kind == PickleKind::list || node.kind == PickleKind::tuple;
  if (depth > kDeepestTorchNesting || ++steps_ > kMostSteps) {
    fail("below '" + printable(path) + "' it is nested deeper than " + std::to_string(kDeepestTorchNesting) +
         " levels, or holds itself");
  }
  if (node.kind == PickleKind::call) {
    const TorchRole role = torch_meaning(node.integer).role;
    if (role == TorchRole::tensor_v2 || role == TorchRole::tensor_v3) {
      add_tensor(path, node, role);
    }
  }
  for (std::size_t i = 0; is_list && i < node.items.size(); ++i) {
    if (may_hold_tensors(node.items[i])) {
      visit(node.items[i], joined(path, std::to_string(i)), depth + 1);
    }
  }
  for (std::size_t i = 0; is_dict && i < node.items.size(); i += 2) {
    if (may_hold_tensors(node.items[i + 1])) {
      visit(node.items[i + 1], joined(path, key_text(graph_.nodes[node.items[i]], path)), depth + 1);
    }
  }
}

std::string Walk::joined(const std::string& path, const std::string& key) const {
  if (path.size() + key.size() > kLongestTensorName) {
    fail("the keys below '" + printable(path) + "' are longer than " + std::to_string(kLongestTensorName) +
         " bytes");
  }
  return path.empty() ? key : std::string(path).append("/").append(key);
}

std::string Walk::key_text(const PickleNode& key, const std::string& path) const {
  switch (key.kind) {
    case PickleKind::text:
      return key.text;
    case PickleKind::integer:
      return std::to_string(key.integer);
    case PickleKind::boolean:
      return key.integer == 1 ? "True" : "False";
    case PickleKind::none:
      return "None";
    default:
      fail("below '" + printable(path) + "' lies a dict with a key that is no text or whole number");
  }
}

const PickleNode& Walk::argument(const PickleNode& call, std::size_t i, const std::string& name) const {
  if (i >= call.items.size()) {
    fail_tensor(name, "has " + std::to_string(call.items.size()) + " arguments, more are needed");
  }
  return graph_.nodes[call.items[i]];
}

std::vector<std::int64_t> Walk::extents(const PickleNode& tuple, const std::string& name) const {
  if (tuple.kind != PickleKind::tuple || tuple.items.size() > kMostDimensions) {
    fail_tensor(name, "has extents or strides that are no tuple of up to 64 numbers");
  }
  std::vector<std::int64_t> numbers;
  for (const std::uint32_t item : tuple.items) {
    const PickleNode& number = graph_.nodes[item];
    if (number.kind != PickleKind::integer || number.integer < 0) {
      fail_tensor(name, "has an extent or a stride that is no whole number from 0 on");
    }
    numbers.push_back(number.integer);
  }
  return numbers;
}

// ("storage", class, key, where it was, number of elements): the entry's name and type, and how many
// elements.
std::uint64_t Walk::storage_elements(const PickleNode& persistent, TorchTensorEntry& entry, bool is_typed,
                                     const std::string& name) const {
  if (persistent.kind != PickleKind::persistent ||
      graph_.nodes[persistent.items[0]].kind != PickleKind::tuple ||
      graph_.nodes[persistent.items[0]].items.size() != 5) {
    fail_tensor(name, "has a storage that is not stored in the file");
  }
  const auto part = [&](std::size_t i) -> const PickleNode& {
    return graph_.nodes[graph_.nodes[persistent.items[0]].items[i]];
  };
  const TorchRole wanted = is_typed ? TorchRole::storage : TorchRole::untyped_storage;
  if (part(0).text != "storage" || part(1).kind != PickleKind::global ||
      torch_meaning(part(1).integer).role != wanted || part(2).kind != PickleKind::text ||
      part(4).kind != PickleKind::integer || part(4).integer < 0) {
    fail_tensor(name, "has a storage of another kind than its elements");
  }
  if (is_typed) {
    entry.dtype = torch_meaning(part(1).integer).dtype;
  }
  entry.storage = folder_ + "data/" + part(2).text;
  const ZipEntry* stored = archive_.find(entry.storage);
  if (stored == nullptr) {
    fail_tensor(name, "has its elements in '" + printable(entry.storage) + "', which is not in the archive");
  }
  // An untyped storage counts bytes.
  const std::uint64_t width = is_typed ? size_of(entry.dtype) : 1;
  const auto count = static_cast<std::uint64_t>(part(4).integer);
  if (stored->size % width != 0 || stored->size / width != count) {
    fail_tensor(name, "has a storage of " + std::to_string(count) + " elements of " + std::to_string(width) +
                          " bytes, entry '" + printable(entry.storage) + "' has " +
                          std::to_string(stored->size) + " bytes");
  }
  return stored->size / size_of(entry.dtype);
}

void Walk::check_view(const TorchTensorEntry& entry, std::uint64_t elements, const std::string& name) const {
  const auto bytes = byte_count(entry.dtype, entry.shape);
  if (!bytes || entry.shape.size() != entry.stride.size()) {
    fail_tensor(name, "has a shape that no file can hold, or as many strides as it has not extents");
  }
  if (*bytes == 0) {
    return;
  }
  std::uint64_t last = entry.offset;
  bool is_inside = true;
  for (std::size_t i = 0; i < entry.shape.size(); ++i) {
    std::uint64_t reach = 0;
    is_inside = is_inside &&
                !__builtin_mul_overflow(static_cast<std::uint64_t>(entry.shape[i] - 1),
                                        static_cast<std::uint64_t>(entry.stride[i]), &reach) &&
                !__builtin_add_overflow(last, reach, &last);
  }
  if (!is_inside || last >= elements) {
    fail_tensor(name, "reaches beyond its storage of " + std::to_string(elements) + " elements");
  }
  const std::uint64_t count = *bytes / size_of(entry.dtype);
  if (count > std::max(elements, kLargestRepeatedView)) {
    fail_tensor(name, "shows " + std::to_string(elements) + " stored elements as " + std::to_string(count));
  }
}

// _rebuild_tensor_v2(storage, offset, extents, strides, requires_grad, hooks[, metadata]); v3 has the element
// type before the metadata, and an untyped storage.
void Walk::add_tensor(const std::string& name, const PickleNode& call, TorchRole role) {
  if (const std::string problem = name_problem(name); !problem.empty()) {
    fail("the tensor name '" + printable(name) + "' " + problem);
  }
  const bool is_typed = role == TorchRole::tensor_v2;
  TorchTensorEntry entry;
  if (!is_typed) {
    const PickleNode& type = argument(call, 6, name);
    if (type.kind != PickleKind::global || torch_meaning(type.integer).role != TorchRole::dtype) {
      fail_tensor(name, "has no element type");
    }
    entry.dtype = torch_meaning(type.integer).dtype;
  }
  const std::uint64_t elements = storage_elements(argument(call, 0, name), entry, is_typed, name);
  const PickleNode& offset = argument(call, 1, name);
  if (offset.kind != PickleKind::integer || offset.integer < 0) {
    fail_tensor(name, "has an offset that is no whole number from 0 on");
  }
  entry.offset = static_cast<std::uint64_t>(offset.integer);
  entry.shape = extents(argument(call, 2, name), name);
  entry.stride = extents(argument(call, 3, name), name);
  check_view(entry, elements, name);
  keep(name, std::move(entry));
}

// What one value of the pickle becomes is paid for each time that it is used.
void Walk::keep(const std::string& name, TorchTensorEntry entry) {
  shown_bytes_ += *byte_count(entry.dtype, entry.shape);  // check_view has found it
  if (shown_bytes_ > most_shown_bytes_) {
    fail_tensor(name, "is one of tensors that show their stored elements again and again, as more than " +
                          std::to_string(most_shown_bytes_) + " bytes");
  }
  name_bytes_ += name.size() + entry.storage.size();
  table_entries_ += 1 + entry.shape.size() + entry.stride.size();
  if (table_entries_ > kMostUses * graph_.nodes.size()) {
    fail("the same tensors are used again and again, which makes tables of extents more than " +
         std::to_string(kMostUses) + " times as large as the pickle");
  }
  if (!tensors_.emplace(name, std::move(entry)).second || name_bytes_ > kMostNameBytes) {
    fail_tensor(name, "is there twice, or the names of all have more than " + std::to_string(kMostNameBytes) +
                          " bytes");
  }
}

}  // namespace

std::map<std::string, TorchTensorEntry> torch_tensors(const PickleGraph& graph, const ZipArchive& archive,
                                                      const std::string& folder) {
  return Walk(graph, archive, folder).run();
}

}  // namespace bitlaw::data
