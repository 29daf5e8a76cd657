// How near a student's token distributions are to the data and to a teacher's, as sums that ranks can add.
//
// Shapes: T tokens, V codes. Per token, with p the teacher's and q the student's softmax and y the true
// token:
//   cross entropy           -log q_y
//   kl_teacher_student      sum_v p_v (log p_v - log q_v)
//   kl_student_teacher      sum_v q_v (log q_v - log p_v)
//   top1_agreement          1 when both have the same most probable code (ties: the lower index)
//   accuracy                1 when the student's most probable code is y
// Everything is computed in float64 from the logits. The sum of a call is rounded to a multiple of 2^-22, so
// that adding the sums of many calls is exact and the order, hence the number of ranks, does not matter.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "quant/statistics.h"

namespace bitlaw::distill {

// A multiple of 2^-22: sums of such numbers are exact up to 2^31.
double exact_summand(double value);

// Entries "cross_entropy_sum", "correct", "tokens" and, when teacher_TV is defined, "kl_teacher_student_sum",
// "kl_student_teacher_sum", "agreement". Logits of any floating type, targets int64 [T].
quant::Statistics token_metrics(const at::Tensor& student_TV, const at::Tensor& teacher_TV,
                                const at::Tensor& targets_T);

// The means: cross_entropy, then with a teacher kl_teacher_student, kl_student_teacher, top1_agreement, then
// accuracy.
std::vector<std::pair<std::string, double>> token_report(const quant::Statistics& sums);

}  // namespace bitlaw::distill
