#include "sdk/features/metrics.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace talus::features {

std::optional<double> auc(std::span<const float> scores, std::span<const std::int8_t> labels) {
    if (scores.size() != labels.size())
        return std::nullopt;
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto below = [&](std::size_t a, std::size_t b) {
        if (std::isnan(scores[a]) || std::isnan(scores[b]))
            return std::isnan(scores[a]) && !std::isnan(scores[b]);
        return scores[a] < scores[b];
    };
    std::sort(order.begin(), order.end(), below);
    // Mann-Whitney: the sum of the positives' mid-ranks.
    double rank_sum = 0.0;
    double positives = 0.0;
    for (std::size_t begin = 0; begin < order.size();) {
        std::size_t end = begin + 1;
        while (end < order.size() && !below(order[begin], order[end]))
            ++end;
        const double rank = (static_cast<double>(begin + 1) + static_cast<double>(end)) / 2.0;
        for (std::size_t i = begin; i < end; ++i)
            if (labels[order[i]] != 0) {
                rank_sum += rank;
                positives += 1.0;
            }
        begin = end;
    }
    const double negatives = static_cast<double>(scores.size()) - positives;
    if (positives == 0.0 || negatives == 0.0)
        return std::nullopt;
    return (rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives);
}

std::optional<double> log_loss(std::span<const float> scores, std::span<const std::int8_t> labels) {
    constexpr double kClip = 1e-7;
    if (scores.size() != labels.size() || scores.empty())
        return std::nullopt;
    double sum = 0.0;
    for (std::size_t i = 0; i < scores.size(); ++i) {
        const double p = std::clamp(static_cast<double>(scores[i]), kClip, 1.0 - kClip);
        sum -= labels[i] != 0 ? std::log(p) : std::log1p(-p);
    }
    return sum / static_cast<double>(scores.size());
}

} // namespace talus::features
