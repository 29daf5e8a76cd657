#include "trainer/statistics_reduction.h"

#include <ATen/ATen.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "data/seed.h"

namespace bitlaw::trainer {

namespace {

using quant::MergeOp;
using quant::Statistics;

struct Column {
  std::string name;
  MergeOp op = MergeOp::sum;
  std::vector<std::int64_t> shape;

  std::int64_t size() const { return c10::multiply_integers(shape); }
};

std::vector<Column> columns_of(const Statistics& statistics) {
  std::vector<Column> columns;
  for (const auto& [name, entry] : statistics.entries()) {
    columns.push_back({name, entry.op, entry.value.sizes().vec()});
  }
  return columns;
}

std::string description(const std::vector<Column>& columns) {
  auto list = nlohmann::json::array();
  for (const Column& column : columns) {
    list.push_back({column.name, static_cast<int>(column.op), column.shape});
  }
  return list.dump();
}

std::vector<Column> columns_from(const std::string& text) {
  std::vector<Column> columns;
  for (const auto& item : nlohmann::json::parse(text)) {
    columns.push_back({item[0].get<std::string>(), static_cast<MergeOp>(item[1].get<int>()),
                       item[2].get<std::vector<std::int64_t>>()});
  }
  return columns;
}

// A number that float64 holds exactly, also summed over a million ranks.
double fingerprint(const std::vector<Column>& columns) {
  constexpr std::uint64_t kBits = 32;
  return static_cast<double>(data::hash_name(description(columns)) >> (64 - kBits));
}

ReduceOp reduce_op(MergeOp op) {
  switch (op) {
    case MergeOp::sum:
      return ReduceOp::sum;
    case MergeOp::minimum:
      return ReduceOp::minimum;
    case MergeOp::maximum:
      break;
  }
  return ReduceOp::maximum;
}

std::string broadcast_text(std::string text, Collective& collective) {
  at::Tensor size = at::full({1}, static_cast<std::int64_t>(text.size()), at::kLong);
  collective.broadcast(size, 0).wait();
  at::Tensor bytes = at::zeros({size.item<std::int64_t>()}, at::kByte);
  if (collective.rank() == 0) {
    std::memcpy(bytes.data_ptr(), text.data(), text.size());
  }
  collective.broadcast(bytes, 0).wait();
  return {static_cast<const char*>(bytes.data_ptr()), bytes.nbytes()};
}

// One row of a table: the values of all columns, one after the other.
void write_row(const Statistics& statistics, const std::vector<Column>& columns, const at::Tensor& row) {
  if (description(columns_of(statistics)) != description(columns)) {
    throw std::invalid_argument("statistics of two batches differ in names or shapes: " +
                                description(columns_of(statistics)) + " and " + description(columns));
  }
  std::int64_t at = 0;
  for (const Column& column : columns) {
    row.narrow(0, at, column.size()).copy_(statistics.at(column.name).reshape({-1}));
    at += column.size();
  }
}

Statistics read_row(const at::Tensor& row, const std::vector<Column>& columns) {
  Statistics statistics;
  std::int64_t at = 0;
  for (const Column& column : columns) {
    const at::Tensor value = row.narrow(0, at, column.size()).reshape(column.shape);
    if (column.op == MergeOp::sum) {
      statistics.add(column.name, value);
    } else if (column.op == MergeOp::minimum) {
      statistics.minimum(column.name, value);
    } else {
      statistics.maximum(column.name, value);
    }
    at += column.size();
  }
  return statistics;
}

}  // namespace

Statistics reduce_statistics(const Statistics& mine, Collective& collective) {
  if (mine.empty() || collective.size() == 1) {
    return mine;
  }
  const std::vector<Column> columns = columns_of(mine);
  Statistics reduced = mine;
  const double print = fingerprint(columns);
  for (const MergeOp op : {MergeOp::sum, MergeOp::minimum, MergeOp::maximum}) {
    std::vector<at::Tensor> parts = {at::full({1}, print, at::kDouble)};
    for (const Column& column : columns) {
      if (column.op == op) {
        parts.push_back(mine.at(column.name).reshape({-1}));
      }
    }
    if (parts.size() == 1 && op != MergeOp::sum) {
      continue;
    }
    at::Tensor flat = at::cat(parts);
    collective.all_reduce(flat, reduce_op(op)).wait();
    const double expected = op == MergeOp::sum ? print * collective.size() : print;
    if (flat[0].item<double>() != expected) {
      throw std::invalid_argument("statistics of the ranks differ in names or shapes; here: " +
                                  description(columns));
    }
    std::int64_t at = 1;
    for (const Column& column : columns) {
      if (column.op == op) {
        reduced.entries().at(column.name).value =
            flat.narrow(0, at, column.size()).reshape(column.shape).clone();
        at += column.size();
      }
    }
  }
  return reduced;
}

Statistics merge_pieces(const std::map<std::int64_t, Statistics>& mine, std::int64_t count,
                        Collective& collective) {
  const std::string layout =
      broadcast_text(collective.rank() == 0 ? description(columns_of(mine.at(0))) : "", collective);
  const std::vector<Column> columns = columns_from(layout);
  std::int64_t width = 0;
  for (const Column& column : columns) {
    width += column.size();
  }
  at::Tensor table = at::zeros({count, width}, at::kDouble);
  for (const auto& [number, piece] : mine) {
    write_row(piece, columns, table[number]);
  }
  collective.all_reduce(table, ReduceOp::sum).wait();  // every row comes from one rank; the others hold zeros
  Statistics merged;
  for (std::int64_t number = 0; number < count; ++number) {
    merged.merge(read_row(table[number], columns));
  }
  return merged;
}

}  // namespace bitlaw::trainer
