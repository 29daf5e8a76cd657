// Reads the directory of a TensorFile: everything but the tensors' bytes.
//
// A file is input: every extent, type and place is checked before it is believed.
#include <fcntl.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <optional>

#include "data/formats/hdf5/directory.h"
#include "data/formats/hdf5/library.h"
#include "data/formats/hdf5/seal.h"
#include "data/formats/hdf5/superblock.h"

namespace bitlaw::data::hdf5 {

namespace {

constexpr int kDeepest = 32;                   // groups inside groups
constexpr std::size_t kMostMembers = 1 << 20;  // of all groups together
constexpr hsize_t kMostIntegers = 1 << 20;     // of one attribute

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : path_(path) {
    hdf5_ = Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
    if (!hdf5_.is_valid()) {
      throw InputError(path.string() + ": HDF5 cannot open the file (" + last_error() + ")",
                       "it is damaged, or locked by another program",
                       "copy or make the file again; where the file system has no locks, set "
                       "HDF5_USE_FILE_LOCKING=FALSE");
    }
    // The same open file, whatever the path names by now.
    void* descriptor = nullptr;
    if (H5Fget_vfd_handle(hdf5_, H5P_DEFAULT, &descriptor) >= 0 && descriptor != nullptr) {
      file_ = FileHandle(::fcntl(*static_cast<int*>(descriptor), F_DUPFD_CLOEXEC, 0));
    }
    if (!file_.is_open()) {
      throw file_error(path, "open it for reading", errno);
    }
    size_ = file_size(file_, path);
  }

  OpenedFile read() {
    read_group("", 0);
    return {std::move(file_), std::move(directory_)};
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw InputError(path_.string() + ": " + what, "a TensorFile holds nothing of that kind",
                     "copy or make the file again");
  }

  Handle need(hid_t id, Handle::Close close, const std::string& what) const {
    if (id < 0) {
      throw InputError(path_.string() + " is damaged: HDF5 cannot open " + what + " (" + last_error() + ")",
                       "it cannot be read", "copy or make the file again");
    }
    return Handle(id, close);
  }

  void read_group(const std::string& group, int depth);
  void read_member(const std::string& name, int depth);
  void read_tensor(const std::string& name);
  std::vector<std::int64_t> shape_of(hid_t dataset, const std::string& name) const;
  DType dtype_of(hid_t dataset, const std::string& name) const;
  std::uint64_t place_of(hid_t dataset, const TensorInfo& info) const;
  std::map<std::string, Attribute> attributes_of(hid_t object, const std::string& owner) const;
  Attribute read_attribute(hid_t attribute, const std::string& what) const;
  std::string read_text(hid_t attribute, hid_t type, const std::string& what) const;
  Attribute read_integers(hid_t attribute, hid_t space, const std::string& what) const;

  std::filesystem::path path_;
  std::uint64_t size_ = 0;
  FileHandle file_;
  Handle hdf5_;
  Directory directory_;
  std::size_t members_ = 0;
};

herr_t keep_link_name(hid_t, const char* name, const H5L_info_t*, void* into) {
  static_cast<std::vector<std::string>*>(into)->emplace_back(name);
  return 0;
}

herr_t keep_attribute_name(hid_t, const char* name, const H5A_info_t*, void* into) {
  static_cast<std::vector<std::string>*>(into)->emplace_back(name);
  return 0;
}

void Reader::read_group(const std::string& group, int depth) {
  const std::string shown = group.empty() ? "the root group" : "group " + group;
  const Handle handle =
      need(H5Gopen2(hdf5_, group.empty() ? "/" : group.c_str(), H5P_DEFAULT), H5Gclose, shown);
  directory_.attributes[group] = attributes_of(handle, shown);
  std::vector<std::string> names;
  if (H5Literate(handle, H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, keep_link_name, &names) < 0) {
    fail("members of " + shown + " cannot be listed (" + last_error() + ")");
  }
  members_ += names.size();
  if (depth > kDeepest || members_ > kMostMembers) {
    fail("too many groups inside groups, or too many members, at " + shown);
  }
  for (const std::string& name : names) {
    read_member(group.empty() ? name : group + "/" + name, depth);
  }
}

void Reader::read_member(const std::string& name, int depth) {
  H5L_info_t link;
  H5O_info_t object;
  if (H5Lget_info(hdf5_, name.c_str(), &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD) {
    fail("member " + name + " is a link to somewhere else");
  }
  if (H5Oget_info_by_name2(hdf5_, name.c_str(), &object, H5O_INFO_BASIC, H5P_DEFAULT) < 0) {
    fail("member " + name + " is damaged (" + last_error() + ")");
  }
  if (object.type == H5O_TYPE_GROUP) {
    read_group(name, depth + 1);
  } else if (object.type == H5O_TYPE_DATASET) {
    read_tensor(name);
  } else {
    fail("member " + name + " is neither a group nor a tensor");
  }
}

std::optional<std::uint64_t> parse_hex(const Attribute& value) {
  const auto* text = std::get_if<std::string>(&value);
  std::uint64_t number = 0;
  if (text == nullptr || text->size() != 16) {
    return std::nullopt;
  }
  const auto result = std::from_chars(text->data(), text->data() + text->size(), number, 16);
  return result.ec == std::errc() && result.ptr == text->data() + text->size() ? std::optional(number)
                                                                               : std::nullopt;
}

// The type that HDF5 lacks and that lies in elements of type `stored`.
std::optional<DType> named_type(const Attribute& value, DType stored) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (dtype != stored && stored_as(dtype) == stored && value == Attribute(std::string(name_of(dtype)))) {
      return dtype;
    }
  }
  return std::nullopt;
}

void Reader::read_tensor(const std::string& name) {
  const Handle dataset = need(H5Dopen2(hdf5_, name.c_str(), H5P_DEFAULT), H5Dclose, "tensor " + name);
  const auto attributes = attributes_of(dataset, "tensor " + name);
  StoredTensor tensor;
  const DType stored = dtype_of(dataset, name);
  tensor.info = {name, stored, shape_of(dataset, name), 0};
  for (const auto& [key, value] : attributes) {
    const auto hex = key == "checksum" ? parse_hex(value) : std::nullopt;
    if (hex) {
      tensor.info.checksum = *hex;
    } else if (const auto named = key == "dtype" ? named_type(value, stored) : std::nullopt) {
      tensor.info.dtype = *named;
    } else {
      fail("tensor " + name + " has an attribute " + key + " that is unknown or has a wrong value");
    }
  }
  if (attributes.count("checksum") == 0) {
    throw InputError(path_.string() + ": tensor " + name + " has no checksum", "damage would pass unnoticed",
                     "write the file with bitlaw");
  }
  tensor.offset = place_of(dataset, tensor.info);
  directory_.tensors.emplace(name, std::move(tensor));
}

std::vector<std::int64_t> Reader::shape_of(hid_t dataset, const std::string& name) const {
  const Handle space = need(H5Dget_space(dataset), H5Sclose, "the shape of tensor " + name);
  const H5S_class_t kind = H5Sget_simple_extent_type(space);
  const int rank = H5Sget_simple_extent_ndims(space);
  if ((kind != H5S_SCALAR && kind != H5S_SIMPLE) || rank < 0 || rank > H5S_MAX_RANK) {
    fail("tensor " + name + " has no shape");
  }
  std::vector<hsize_t> extents(static_cast<std::size_t>(rank));
  H5Sget_simple_extent_dims(space, extents.data(), nullptr);
  std::uint64_t bytes = sizeof(double);  // of the widest element
  for (const hsize_t extent : extents) {
    if (extent > INT64_MAX || (extent > 0 && __builtin_mul_overflow(bytes, extent, &bytes)) ||
        bytes > INT64_MAX) {
      fail("tensor " + name + " is larger than any file");
    }
  }
  return {extents.begin(), extents.end()};
}

DType Reader::dtype_of(hid_t dataset, const std::string& name) const {
  const Handle type = need(H5Dget_type(dataset), H5Tclose, "the type of tensor " + name);
  for (int i = 0; i <= static_cast<int>(DType::uint64); ++i) {
    const auto dtype = static_cast<DType>(i);
    if (stored_as(dtype) == dtype && H5Tequal(type, file_type(dtype)) > 0) {
      return dtype;
    }
  }
  fail("tensor " + name + " has an element type that is not a little-endian float or integer");
}

std::uint64_t Reader::place_of(hid_t dataset, const TensorInfo& info) const {
  const Handle list = need(H5Dget_create_plist(dataset), H5Pclose, "the layout of tensor " + info.name);
  if (H5Pget_layout(list) != H5D_CONTIGUOUS || H5Pget_external_count(list) != 0) {
    fail("tensor " + info.name + " is not stored in one piece (chunked, compressed or external)");
  }
  if (info.byte_count() == 0) {
    return 0;
  }
  const haddr_t offset = H5Dget_offset(dataset);
  if (offset == HADDR_UNDEF) {
    fail("tensor " + info.name + " has no bytes");
  }
  if (offset > size_ || info.byte_count() > size_ - offset) {
    throw InputError(path_.string() + ": tensor " + info.name + " is truncated (" + std::to_string(size_) +
                         " of " + std::to_string(offset + info.byte_count()) + " bytes of the file)",
                     "its end is missing", "copy or make the file again");
  }
  return offset;
}

std::map<std::string, Attribute> Reader::attributes_of(hid_t object, const std::string& owner) const {
  std::vector<std::string> names;
  if (H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, keep_attribute_name, &names) < 0) {
    fail("attributes of " + owner + " cannot be listed (" + last_error() + ")");
  }
  std::map<std::string, Attribute> attributes;
  for (const std::string& name : names) {
    const std::string what = "attribute " + name + " of " + owner;
    const Handle attribute = need(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose, what);
    attributes.emplace(name, read_attribute(attribute, what));
  }
  return attributes;
}

Attribute Reader::read_attribute(hid_t attribute, const std::string& what) const {
  const Handle type = need(H5Aget_type(attribute), H5Tclose, what);
  const Handle space = need(H5Aget_space(attribute), H5Sclose, what);
  const H5T_class_t kind = H5Tget_class(type);
  if (kind == H5T_STRING && H5Tis_variable_str(type) > 0 && H5Sget_simple_extent_type(space) == H5S_SCALAR) {
    return read_text(attribute, type, what);
  }
  if (kind == H5T_INTEGER && H5Tequal(type, H5T_STD_I64LE) > 0) {
    return read_integers(attribute, space, what);
  }
  fail(what + " is neither a text nor 64-bit integers");
}

std::string Reader::read_text(hid_t attribute, hid_t type, const std::string& what) const {
  char* text = nullptr;
  const Handle memory_type = text_type();
  H5Tset_cset(memory_type, H5Tget_cset(type));
  if (H5Aread(attribute, memory_type, &text) < 0) {
    fail(what + " cannot be read (" + last_error() + ")");
  }
  std::string copy = text == nullptr ? "" : text;
  H5free_memory(text);
  return copy;
}

Attribute Reader::read_integers(hid_t attribute, hid_t space, const std::string& what) const {
  const H5S_class_t kind = H5Sget_simple_extent_type(space);
  const hssize_t count = H5Sget_simple_extent_npoints(space);
  if (kind == H5S_NULL || count < 0 || static_cast<hsize_t>(count) > kMostIntegers ||
      H5Sget_simple_extent_ndims(space) > 1) {
    fail(what + " has a shape that is neither one integer nor a list");
  }
  std::vector<std::int64_t> values(static_cast<std::size_t>(count));
  if (count > 0 && H5Aread(attribute, H5T_NATIVE_INT64, values.data()) < 0) {
    fail(what + " cannot be read (" + last_error() + ")");
  }
  return kind == H5S_SCALAR ? Attribute(values.at(0)) : Attribute(std::move(values));
}

}  // namespace

OpenedFile open_file(const std::filesystem::path& path) {
  {
    const FileHandle file = open_for_reading(path);
    check_superblock(file, path);
    check_seal(file, path);
  }
  const Session session;
  return Reader(path).read();
}

}  // namespace bitlaw::data::hdf5
