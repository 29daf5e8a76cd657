#include "distill/kernels/attention_bf16.h"

#include <algorithm>
#include <cmath>

#include "distill/kernels/attention_buffers.h"
#include "distill/kernels/bf16_instructions.h"

namespace bitlaw::distill::kernels {

bool bf16_products_supported() {
  return __builtin_cpu_supports("avx512bf16") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
         __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0;
}

AttentionSpace::AttentionSpace(const HeadShape& shape, Use use) : buffers_(std::make_unique<Buffers>()) {
  Buffers& b = *buffers_;
  b.padded_tokens = padded_to_lanes(shape.tokens);
  b.padded_pairs = padded_to_lanes((shape.tokens + 1) / 2);
  const auto tokens = static_cast<std::size_t>(shape.tokens), dim = static_cast<std::size_t>(shape.head_dim);
  const auto padded = static_cast<std::size_t>(b.padded_tokens),
             pairs = static_cast<std::size_t>(b.padded_pairs);
  const auto rows = static_cast<std::size_t>(kChunkRows);
  b.queries.resize(tokens * dim);
  b.keys.resize(tokens * dim);
  b.query_lengths.resize(tokens);
  b.key_lengths.resize(tokens);
  b.keys_by_dim.resize(dim / 2 * padded);
  b.value_pairs.resize((tokens + 1) / 2 * dim);
  b.scores.resize(rows * padded);
  b.weights.resize((rows + 1) * padded);
  b.output.resize(rows * dim);
  if (use == Use::forward) return;
  b.key_pairs.resize((tokens + 1) / 2 * dim);
  b.values_by_dim.resize(dim / 2 * padded);
  b.pairs.resize((tokens + 1) / 2 * dim);
  b.queries_by_dim.resize(dim * pairs);
  b.grad_out_by_dim.resize(dim * pairs);
  b.grad_weights.resize(rows * padded);
  b.grad_scores.resize((rows + 1) * padded);
  b.weight_pairs.resize((rows / 2 + 1) * padded);
  b.grad_score_pairs.resize((rows / 2 + 1) * padded);
  b.grad_keys_by_dim.resize(dim * padded);
  b.grad_values_by_dim.resize(dim * padded);
}

AttentionSpace::~AttentionSpace() = default;

namespace {

using Buffers = AttentionSpace::Buffers;

// Rows [first, last) of queries of one scale, whose keys end at `keys`.
struct Chunk {
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int64_t keys = 0;

  std::int64_t rows() const { return last - first; }
  std::int64_t width() const { return padded_to_lanes(keys); }  // of the rows of scores
  std::int64_t pair_base() const { return first / 2 * 2; }      // pairs start at even tokens
  std::int64_t pair_rows() const { return last - pair_base(); }
};

template <class Body>
void for_chunks(const HeadShape& shape, const Body& body) {
  std::int64_t begin = 0;
  for (const std::int64_t end : shape.scale_ends) {
    for (std::int64_t first = begin; first < end; first += kChunkRows)
      body(Chunk{first, std::min(first + kChunkRows, end), end});
    begin = end;
  }
}

// One row times `factor` over its length (when unit_length); returns 1 / length, or 1.
BITLAW_BF16_INLINE float scale_row(const std::uint16_t* from, std::int64_t dim, bool unit_length,
                                   float factor, std::uint16_t* into) {
  float inverse = 1.0F;
  if (unit_length) {
    __m512 squares = _mm512_setzero_ps();
    for (std::int64_t i = 0; i < dim; i += kLanes) {
      const __m512 x = load_bf16(from + i);
      squares = _mm512_fmadd_ps(x, x, squares);
    }
    inverse = 1.0F / std::max(std::sqrt(_mm512_reduce_add_ps(squares)), 1e-12F);
  }
  const __m512 scale = _mm512_set1_ps(inverse * factor);
  for (std::int64_t i = 0; i < dim; i += kLanes)
    store_bf16(into + i, _mm512_mul_ps(load_bf16(from + i), scale));
  return inverse;
}

const std::uint32_t* as_words(const std::uint16_t* halves) {
  return static_cast<const std::uint32_t*>(static_cast<const void*>(halves));
}
const std::uint16_t* as_halves(const std::uint32_t* words) {
  return static_cast<const std::uint16_t*>(static_cast<const void*>(words));
}

BITLAW_BF16_CODE void prepare_operands(const HeadShape& shape, const HeadForward& head, Buffers& b) {
  const std::int64_t dim = shape.head_dim;
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    const std::int64_t at = t * shape.qkv_stride;
    b.query_lengths[static_cast<std::size_t>(t)] =
        scale_row(head.q + at, dim, shape.unit_length, shape.query_factor, b.queries.data() + t * dim);
    b.key_lengths[static_cast<std::size_t>(t)] =
        scale_row(head.k + at, dim, shape.unit_length, 1.0F, b.keys.data() + t * dim);
  }
  transpose_words(as_words(b.keys.data()), shape.tokens, dim / 2, b.keys_by_dim.data(), b.padded_tokens);
  pair_rows(head.v, shape.qkv_stride, shape.tokens, dim, b.value_pairs.data());
}

BITLAW_BF16_INLINE void make_scores(const HeadShape& shape, const Chunk& chunk, Buffers& b) {
  const Product scores{.a = b.queries.data() + chunk.first * shape.head_dim,
                       .a_stride = shape.head_dim,
                       .b = b.keys_by_dim.data(),
                       .b_stride = b.padded_tokens,
                       .c = b.scores.data(),
                       .c_stride = b.padded_tokens,
                       .pairs = shape.head_dim / 2};
  multiply(scores, chunk.rows(), chunk.width());
}

struct RowSum {
  float largest = 0;
  float sum = 0;
};

// exp(score - largest) of `keys` scores as bfloat16, zeros up to the padded width.
BITLAW_BF16_INLINE RowSum exponentiate(const float* scores, std::int64_t keys, std::uint16_t* weights) {
  __m512 largest = _mm512_set1_ps(-INFINITY);
  for (std::int64_t i = 0; i < keys; i += kLanes)
    largest = _mm512_mask_max_ps(largest, first_lanes(keys - i), largest, _mm512_loadu_ps(scores + i));
  const float maximum = _mm512_reduce_max_ps(largest);
  __m512 sum = _mm512_setzero_ps();
  for (std::int64_t i = 0; i < keys; i += kLanes) {
    const __m512 shifted = _mm512_sub_ps(_mm512_loadu_ps(scores + i), _mm512_set1_ps(maximum));
    const __m512 weight = _mm512_maskz_mov_ps(first_lanes(keys - i), exp_nonpositive(shifted));
    sum = _mm512_add_ps(sum, weight);
    store_bf16(weights + i, weight);
  }
  return {maximum, _mm512_reduce_add_ps(sum)};
}

BITLAW_BF16_CODE void attend_chunk(const HeadShape& shape, const HeadForward& head, const Chunk& chunk,
                                   Buffers& b) {
  make_scores(shape, chunk, b);
  float inverse_sums[kChunkRows];
  for (std::int64_t r = 0; r < chunk.rows(); ++r) {
    const RowSum row = exponentiate(b.scores.data() + r * b.padded_tokens, chunk.keys,
                                    b.weights.data() + r * b.padded_tokens);
    head.log_sum[chunk.first + r] = row.largest + std::log(row.sum);
    inverse_sums[r] = 1.0F / row.sum;
  }
  const std::int64_t dim = shape.head_dim;
  const Product output{.a = b.weights.data(),
                       .a_stride = b.padded_tokens,
                       .b = b.value_pairs.data(),
                       .b_stride = dim,
                       .c = b.output.data(),
                       .c_stride = dim,
                       .pairs = (chunk.keys + 1) / 2};
  multiply(output, chunk.rows(), dim);
  for (std::int64_t r = 0; r < chunk.rows(); ++r) {
    for (std::int64_t i = 0; i < dim; i += kLanes) {
      store_bf16(
          head.out + (chunk.first + r) * shape.out_stride + i,
          _mm512_mul_ps(_mm512_loadu_ps(b.output.data() + r * dim + i), _mm512_set1_ps(inverse_sums[r])));
    }
  }
}

BITLAW_BF16_CODE void prepare_gradient_operands(const HeadShape& shape, const HeadBackward& head,
                                                Buffers& b) {
  const std::int64_t dim = shape.head_dim, tokens = shape.tokens;
  pair_rows(b.keys.data(), dim, tokens, dim, b.key_pairs.data());
  pair_rows(b.queries.data(), dim, tokens, dim, b.pairs.data());
  transpose_words(b.pairs.data(), (tokens + 1) / 2, dim, b.queries_by_dim.data(), b.padded_pairs);
  pair_rows(head.grad_out, shape.out_stride, tokens, dim, b.pairs.data());
  transpose_words(b.pairs.data(), (tokens + 1) / 2, dim, b.grad_out_by_dim.data(), b.padded_pairs);
  std::uint16_t* values = static_cast<std::uint16_t*>(static_cast<void*>(b.pairs.data()));  // V, contiguous
  for (std::int64_t t = 0; t < tokens; ++t)
    std::memcpy(values + t * dim, head.forward.v + t * shape.qkv_stride, static_cast<std::size_t>(dim) * 2);
  transpose_words(b.pairs.data(), tokens, dim / 2, b.values_by_dim.data(), b.padded_tokens);
  std::fill(b.grad_keys_by_dim.begin(), b.grad_keys_by_dim.end(), 0.0F);
  std::fill(b.grad_values_by_dim.begin(), b.grad_values_by_dim.end(), 0.0F);
}

BITLAW_BF16_INLINE float dot(const std::uint16_t* x, const std::uint16_t* y, std::int64_t count) {
  __m512 sum = _mm512_setzero_ps();
  for (std::int64_t i = 0; i < count; i += kLanes)
    sum = _mm512_fmadd_ps(load_bf16(x + i), load_bf16(y + i), sum);
  return _mm512_reduce_add_ps(sum);
}

// P = exp(score - log sum) and dS = P (dP - dO . O) of one row, zeros up to the padded width.
struct RowGradient {
  const float* scores = nullptr;
  const float* grad_weights = nullptr;
  float log_sum = 0;
  float row_dot = 0;
  std::uint16_t* weights = nullptr;
  std::uint16_t* grad_scores = nullptr;
};
BITLAW_BF16_INLINE void differentiate_row(const RowGradient& row, std::int64_t keys) {
  for (std::int64_t i = 0; i < keys; i += kLanes) {
    const __mmask16 mask = first_lanes(keys - i);
    const __m512 shifted = _mm512_sub_ps(_mm512_loadu_ps(row.scores + i), _mm512_set1_ps(row.log_sum));
    const __m512 weight = _mm512_maskz_mov_ps(mask, exp_nonpositive(shifted));
    const __m512 slope = _mm512_sub_ps(_mm512_loadu_ps(row.grad_weights + i), _mm512_set1_ps(row.row_dot));
    store_bf16(row.weights + i, weight);
    store_bf16(row.grad_scores + i, _mm512_maskz_mul_ps(mask, weight, slope));
  }
}

// Weights and score gradients of the chunk: row-major from row `chunk.first - pair_base`, and paired.
BITLAW_BF16_CODE void differentiate_scores(const HeadShape& shape, const HeadBackward& head,
                                           const Chunk& chunk, Buffers& b) {
  const std::int64_t stride = b.padded_tokens, shift = chunk.first - chunk.pair_base();
  std::fill_n(b.weights.begin(), shift * stride, std::uint16_t{0});
  std::fill_n(b.grad_scores.begin(), shift * stride, std::uint16_t{0});
  for (std::int64_t r = 0; r < chunk.rows(); ++r) {
    const std::int64_t token = chunk.first + r, at = token * shape.out_stride;
    differentiate_row({.scores = b.scores.data() + r * stride,
                       .grad_weights = b.grad_weights.data() + r * stride,
                       .log_sum = head.forward.log_sum[token],
                       .row_dot = dot(head.grad_out + at, head.forward.out + at, shape.head_dim),
                       .weights = b.weights.data() + (r + shift) * stride,
                       .grad_scores = b.grad_scores.data() + (r + shift) * stride},
                      chunk.keys);
  }
  pair_rows(b.weights.data(), stride, chunk.pair_rows(), chunk.width(), b.weight_pairs.data());
  pair_rows(b.grad_scores.data(), stride, chunk.pair_rows(), chunk.width(), b.grad_score_pairs.data());
}

// sums [D, keys] += A [D, rows of the chunk] x pairs: dV^T and dK^T.
BITLAW_BF16_INLINE void add_products(const HeadShape& shape, const Chunk& chunk,
                                     const std::vector<std::uint32_t>& by_dim,
                                     const std::vector<std::uint32_t>& pairs, std::int64_t padded_pairs,
                                     std::vector<float>& sums, std::int64_t padded_tokens) {
  const Product product{.a = as_halves(by_dim.data()) + chunk.pair_base(),
                        .a_stride = 2 * padded_pairs,
                        .b = pairs.data(),
                        .b_stride = chunk.width(),
                        .c = sums.data(),
                        .c_stride = padded_tokens,
                        .pairs = (chunk.pair_rows() + 1) / 2,
                        .accumulate = true};
  multiply(product, shape.head_dim, chunk.width());
}

// Gradient of a row before it was scaled: x_hat = factor x / |x| (or factor x), from d loss / d x_hat.
// Returns d loss / d factor.
struct ScaledRow {
  const std::uint16_t* x = nullptr;
  const float* grad = nullptr;
  float inverse_length = 1;
  float factor = 1;
};
BITLAW_BF16_INLINE float unscale_row(const ScaledRow& row, std::int64_t dim, bool unit_length,
                                     std::uint16_t* into) {
  float along = 0;  // x / |x| . grad
  if (unit_length) {
    __m512 sum = _mm512_setzero_ps();
    for (std::int64_t i = 0; i < dim; i += kLanes)
      sum = _mm512_fmadd_ps(load_bf16(row.x + i), _mm512_loadu_ps(row.grad + i), sum);
    along = _mm512_reduce_add_ps(sum) * row.inverse_length;
  }
  const __m512 scale = _mm512_set1_ps(row.factor * row.inverse_length);
  const __m512 radial = _mm512_set1_ps(-along * row.inverse_length);
  for (std::int64_t i = 0; i < dim; i += kLanes) {
    const __m512 tangent = _mm512_fmadd_ps(load_bf16(row.x + i), radial, _mm512_loadu_ps(row.grad + i));
    store_bf16(into + i, _mm512_mul_ps(tangent, scale));
  }
  return along;
}

BITLAW_BF16_CODE float differentiate_chunk(const HeadShape& shape, const HeadBackward& head,
                                           const Chunk& chunk, Buffers& b) {
  const std::int64_t dim = shape.head_dim, stride = b.padded_tokens;
  make_scores(shape, chunk, b);
  const Product grad_weights{.a = head.grad_out + chunk.first * shape.out_stride,
                             .a_stride = shape.out_stride,
                             .b = b.values_by_dim.data(),
                             .b_stride = stride,
                             .c = b.grad_weights.data(),
                             .c_stride = stride,
                             .pairs = dim / 2};
  multiply(grad_weights, chunk.rows(), chunk.width());
  differentiate_scores(shape, head, chunk, b);
  add_products(shape, chunk, b.grad_out_by_dim, b.weight_pairs, b.padded_pairs, b.grad_values_by_dim, stride);
  add_products(shape, chunk, b.queries_by_dim, b.grad_score_pairs, b.padded_pairs, b.grad_keys_by_dim,
               stride);
  const Product grad_queries{.a = b.grad_scores.data() + (chunk.first - chunk.pair_base()) * stride,
                             .a_stride = stride,
                             .b = b.key_pairs.data(),
                             .b_stride = dim,
                             .c = b.output.data(),
                             .c_stride = dim,
                             .pairs = (chunk.keys + 1) / 2};
  multiply(grad_queries, chunk.rows(), dim);
  float grad_factor = 0;
  for (std::int64_t r = 0; r < chunk.rows(); ++r) {
    const std::int64_t at = (chunk.first + r) * shape.qkv_stride;
    const float inverse = b.query_lengths[static_cast<std::size_t>(chunk.first + r)];
    grad_factor += unscale_row({head.forward.q + at, b.output.data() + r * dim, inverse, shape.query_factor},
                               dim, shape.unit_length, head.grad_q + at);
  }
  return grad_factor;
}

// 16 tokens out of sums [D, Lp], as rows of D.
BITLAW_BF16_INLINE void tokens_of(const std::vector<float>& sums, std::int64_t padded_tokens,
                                  std::int64_t token, std::int64_t dim, float* rows) {
  for (std::int64_t i = 0; i < dim; i += kLanes) {
    __m512i tile[16];
    for (std::int64_t d = 0; d < kLanes; ++d)
      tile[d] = _mm512_loadu_si512(sums.data() + (i + d) * padded_tokens + token);
    transpose_tile(tile);
    for (std::int64_t t = 0; t < kLanes; ++t) _mm512_storeu_si512(rows + t * dim + i, tile[t]);
  }
}

// Gradients of keys and values out of their sums by dimension.
BITLAW_BF16_CODE void write_key_and_value_gradients(const HeadShape& shape, const HeadBackward& head,
                                                    Buffers& b) {
  const std::int64_t dim = shape.head_dim;
  float *key_rows = b.output.data(), *value_rows = b.output.data() + kLanes * dim;
  for (std::int64_t first = 0; first < shape.tokens; first += kLanes) {
    tokens_of(b.grad_keys_by_dim, b.padded_tokens, first, dim, key_rows);
    tokens_of(b.grad_values_by_dim, b.padded_tokens, first, dim, value_rows);
    for (std::int64_t t = 0; t < std::min(kLanes, shape.tokens - first); ++t) {
      const std::int64_t token = first + t, at = token * shape.qkv_stride;
      const float inverse = b.key_lengths[static_cast<std::size_t>(token)];
      unscale_row({head.forward.k + at, key_rows + t * dim, inverse, 1.0F}, dim, shape.unit_length,
                  head.grad_k + at);
      for (std::int64_t i = 0; i < dim; i += kLanes)
        store_bf16(head.grad_v + at + i, _mm512_loadu_ps(value_rows + t * dim + i));
    }
  }
}

}  // namespace

void attend(const HeadShape& shape, const HeadForward& head, AttentionSpace& space) {
  Buffers& buffers = space.buffers();
  prepare_operands(shape, head, buffers);
  for_chunks(shape, [&](const Chunk& chunk) { attend_chunk(shape, head, chunk, buffers); });
}

float attend_backward(const HeadShape& shape, const HeadBackward& head, AttentionSpace& space) {
  Buffers& buffers = space.buffers();
  prepare_operands(shape, head.forward, buffers);
  prepare_gradient_operands(shape, head, buffers);
  float grad_factor = 0;
  for_chunks(shape,
             [&](const Chunk& chunk) { grad_factor += differentiate_chunk(shape, head, chunk, buffers); });
  write_key_and_value_gradients(shape, head, buffers);
  return grad_factor;
}

}  // namespace bitlaw::distill::kernels
