// Makes the metadata of a TensorFile in memory while the tensors' bytes go straight to the disk.
#include "data/formats/hdf5/writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <set>
#include <utility>

#include "data/formats/checksum.h"
#include "data/formats/hdf5/library.h"
#include "data/formats/hdf5/seal.h"

namespace bitlaw::data::hdf5 {

namespace {

constexpr const char* kMemoryFolder = "/dev/shm";

// HDF5 writes to memory here: either there is no room in it, or this is a bug.
template <class Status>
Status check(Status status, const char* doing) {
  if (status < 0) {
    throw InputError(std::string("HDF5 cannot ") + doing + " in " + kMemoryFolder + " (" + last_error() + ")",
                     "names and shapes are put together there, in memory",
                     std::string("free space in ") + kMemoryFolder);
  }
  return status;
}

Handle checked(hid_t id, Handle::Close close, const char* doing) {
  return Handle(check(id, doing), close);
}

Handle creation_list(hid_t kind) {
  Handle list = checked(H5Pcreate(kind), H5Pclose, "make a property list");
  H5Pset_obj_track_times(list, false);                     // equal contents give equal files
  H5Pset_attr_phase_change(list, UINT16_MAX, UINT16_MAX);  // attributes stay in the (checksummed) header
  return list;
}

void write_attribute(hid_t object, const std::string& key, hid_t type, hid_t space, const void* value) {
  const Handle attribute = checked(H5Acreate2(object, key.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT),
                                   H5Aclose, "make an attribute");
  check(H5Awrite(attribute, type, value), "write an attribute");
}

void write_attribute(hid_t object, const std::string& key, const Attribute& value) {
  const Handle scalar = checked(H5Screate(H5S_SCALAR), H5Sclose, "make a dataspace");
  if (const auto* text = std::get_if<std::string>(&value)) {
    const char* pointer = text->c_str();
    write_attribute(object, key, text_type(), scalar, &pointer);
  } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    write_attribute(object, key, H5T_STD_I64LE, scalar, integer);
  } else {
    const auto& values = std::get<std::vector<std::int64_t>>(value);
    const hsize_t extent = values.size();
    const Handle space = checked(H5Screate_simple(1, &extent, nullptr), H5Sclose, "make a dataspace");
    const std::int64_t nothing = 0;  // HDF5 wants an address even for no values
    write_attribute(object, key, H5T_STD_I64LE, space, values.empty() ? &nothing : values.data());
  }
}

Handle space_of(const TensorInfo& info) {
  if (info.shape.empty()) {
    return checked(H5Screate(H5S_SCALAR), H5Sclose, "make a dataspace");
  }
  const std::vector<hsize_t> extents(info.shape.begin(), info.shape.end());
  return checked(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), H5Sclose,
                 "make a dataspace");
}

// What of a file of `size` bytes belongs to no tensor.
std::vector<ByteRange> ranges_between(const Directory& directory, std::uint64_t size) {
  std::vector<ByteRange> tensors;
  for (const auto& [name, tensor] : directory.tensors) {
    if (tensor.info.byte_count() > 0) {
      tensors.emplace_back(tensor.offset, tensor.offset + tensor.info.byte_count());
    }
  }
  std::sort(tensors.begin(), tensors.end());
  tensors.emplace_back(size, size);
  std::vector<ByteRange> between;
  std::uint64_t done = 0;
  for (const auto& [begin, end] : tensors) {
    if (begin > done) {
      between.emplace_back(done, begin);
    }
    done = end;
  }
  return between;
}

// Copies [begin, end) from the file in memory, in pieces.
void copy_range(const FileHandle& from, const FileHandle& to, std::uint64_t begin, std::uint64_t end,
                const std::filesystem::path& path) {
  std::vector<std::byte> buffer(std::min<std::uint64_t>(end - begin, 1 << 16));
  while (begin < end) {
    const auto piece = std::span(buffer).first(std::min<std::uint64_t>(end - begin, buffer.size()));
    read_fully(from, piece, begin, kMemoryFolder);
    write_fully(to, piece, begin, path);
    begin += piece.size();
  }
}

}  // namespace

struct Writer::Impl {
  FileHandle memory;
  Handle file;
  std::set<std::string> groups;  // that are there

  hid_t make_group(const std::string& group) const {
    const Handle list = creation_list(H5P_GROUP_CREATE);
    return H5Gcreate2(file, group.c_str(), H5P_DEFAULT, list, H5P_DEFAULT);
  }

  void need_group(const std::string& group) {
    if (group.empty() || groups.count(group) != 0) {
      return;
    }
    need_group(group_of(group));
    const Handle made = checked(make_group(group), H5Gclose, "make a group");
    groups.insert(group);
  }
};

Writer::Writer() : impl_(std::make_unique<Impl>()) {
  const Session session;
  std::string name = std::string(kMemoryFolder) + "/bitlaw-XXXXXX";
  impl_->memory = FileHandle(::mkostemp(name.data(), O_CLOEXEC));
  if (!impl_->memory.is_open()) {
    throw file_error(kMemoryFolder, "create a file in this folder", errno);
  }
  const Handle access = checked(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "make a property list");
  // From version 1.8 on, metadata carry checksums of their own.
  H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18);
  H5Pset_small_data_block_size(access, 0);  // small tensors lie side by side
  const Handle creation = creation_list(H5P_FILE_CREATE);
  impl_->file = Handle(H5Fcreate(name.c_str(), H5F_ACC_TRUNC, creation, access), H5Fclose);
  ::unlink(name.c_str());  // HDF5 needs a name to open it, nobody needs it afterwards
  check(static_cast<hid_t>(impl_->file), "make a file");
}

Writer::~Writer() {
  const Session session;
  impl_->file.reset();
}

std::uint64_t Writer::add_tensor(const TensorInfo& info) {
  const Session session;
  impl_->need_group(group_of(info.name));
  const Handle list = creation_list(H5P_DATASET_CREATE);
  H5Pset_layout(list, H5D_CONTIGUOUS);
  H5Pset_alloc_time(list, H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(list, H5D_FILL_TIME_NEVER);
  const Handle dataset = checked(H5Dcreate2(impl_->file, info.name.c_str(), file_type(info.dtype),
                                            space_of(info), H5P_DEFAULT, list, H5P_DEFAULT),
                                 H5Dclose, "make a dataset");
  write_attribute(dataset, "checksum", to_hex(info.checksum));
  if (stored_as(info.dtype) != info.dtype) {
    write_attribute(dataset, "dtype", std::string(name_of(info.dtype)));
  }
  if (info.byte_count() == 0) {
    return 0;
  }
  const haddr_t offset = H5Dget_offset(dataset);
  check(offset == HADDR_UNDEF ? -1 : 0, "place a dataset");
  return offset;
}

void Writer::add_group(const std::string& group) {
  const Session session;
  impl_->need_group(group);
}

void Writer::add_attribute(const std::string& group, const std::string& key, const Attribute& value) {
  const Session session;
  impl_->need_group(group);
  const Handle object = checked(H5Oopen(impl_->file, group.empty() ? "/" : group.c_str(), H5P_DEFAULT),
                                H5Oclose, "open a group");
  write_attribute(object, key, value);
}

void Writer::finish(const Directory& directory, const FileHandle& file, const std::filesystem::path& path) {
  {
    const Session session;
    check(impl_->file.reset() ? 0 : -1, "close a file");
  }
  const std::uint64_t size = file_size(impl_->memory, kMemoryFolder);
  std::vector<ByteRange> metadata = ranges_between(directory, size);
  for (const auto& [begin, end] : metadata) {
    copy_range(impl_->memory, file, begin, end, path);
  }
  resize_file(file, size, path);
  write_seal(file, metadata, size, path);
}

}  // namespace bitlaw::data::hdf5
