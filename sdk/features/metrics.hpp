// Quality of click predictions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace talus::features {

// Area under the ROC curve: the probability that a clicked row scores above one that was not, ties
// counting half. nullopt unless both labels occur. NaN scores rank below all others.
std::optional<double> auc(std::span<const float> scores, std::span<const std::int8_t> labels);

// Mean negative log likelihood in nats, probabilities clipped to [1e-7, 1 - 1e-7] so that one
// certain mistake stays finite. nullopt without rows.
std::optional<double> log_loss(std::span<const float> scores, std::span<const std::int8_t> labels);

} // namespace talus::features
