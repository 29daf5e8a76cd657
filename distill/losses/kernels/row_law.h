// The scalar mathematics of the fused kernel for the losses that are linear in p, q and q log(q/p): from a
// few sums over the head and the tail of one row to its loss and to the coefficients of its gradient.
//
// Notation: A a set of classes (head or tail), P, Q its masses, p~, q~ the distributions within it (p_i / P,
// q_i / Q), d_i = log(q_i / p_i). Every loss here has, for i in A,
//   q_i h_i = q_i dL/dq_i = a p~_i + b q~_i + c q~_i d_i
// and dL/dz_i = q_i h_i - q_i G with G the sum of q_i h_i over all classes. Formulas: docs/distillation.md.
// Working within the sets keeps every number in range, however small the mass of a set is.
#pragma once

#include "distill/losses/divergence_spec.h"

namespace bitlaw::distill::kernels {

// What a kernel sums over one set, with x = logit / temperature - shift, delta = x of the student - x of the
// teacher. p_delta need not be there where the set's direction is reverse, q_delta where it is forward.
struct SetSums {
  bool empty = true;
  double p = 0;        // sum of exp(x) of the teacher
  double q = 0;        // of the student
  double p_delta = 0;  // sum of exp(x of the teacher) delta
  double q_delta = 0;  // sum of exp(x of the student) delta
  double p_shift = 0;
  double q_shift = 0;
};

struct SetStatistics {
  bool empty = true;
  double log_p = 0;   // log P
  double log_q = 0;   // log Q
  double p = 0;       // P
  double q = 0;       // Q
  double mean_p = 0;  // sum p~_i d_i
  double mean_q = 0;  // sum q~_i d_i
  double offset = 0;  // d_i - delta_i
};

struct RowStatistics {
  SetStatistics head;
  SetStatistics tail;
};

RowStatistics row_statistics(const SetSums& head, const SetSums& tail);

struct Coefficients {
  double p = 0;   // a
  double q = 0;   // b
  double qd = 0;  // c
};

// Adds up terms; a term over an empty set is nothing.
class RowLaw {
 public:
  explicit RowLaw(const RowStatistics& statistics) : sets_{statistics.head, statistics.tail} {}

  void add(const DivergenceSpec& spec);  // loss: topkld, forward_kl, reverse_kl, cakld
  // forward_weight KL(p||q) + reverse_weight KL(q||p) over all classes (akl's weights depend on the row)
  void add_kl(double forward_weight, double reverse_weight);

  double loss() const { return loss_; }
  // The coefficients of dL/dz_i: the - q_i G is in b.
  Coefficients gradient(int set) const;

  static constexpr int kHead = 0;
  static constexpr int kTail = 1;

 private:
  void add_partial(int set, Direction direction, double lambda);
  void add_mass_difference(int set, Direction direction, double lambda);
  void add_within(int set, Direction direction, double lambda);
  void add_mass(int set, Direction direction, double lambda);
  void add_topkld(const DivergenceSpec& spec);

  double loss_ = 0;
  SetStatistics sets_[2];
  Coefficients coefficients_[2];
};

}  // namespace bitlaw::distill::kernels
