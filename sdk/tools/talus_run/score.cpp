#include "sdk/tools/talus_run/score.hpp"

#include <unistd.h>

#include "sdk/common/error.hpp"
#include "sdk/features/metrics.hpp"
#include "sdk/tools/talus_run/binding.hpp"
#include "sdk/tools/talus_run/report.hpp"

namespace talus::run {

int score(const Job& job) {
    const Options& options = job.options;
    const features::Encoder encoder = features::Encoder::load(options.encoder);
    features::LogReader reader(options.data, encoder.dense_columns(), encoder.sparse_columns());
    Binding binding(job.model, encoder);
    Request request(job.model);

    std::vector<float> probabilities;
    std::vector<std::int8_t> labels;
    features::Batch batch;
    {
        Progress progress(options.progress || (!options.no_progress && isatty(STDERR_FILENO) != 0));
        while (encoder.read(reader, static_cast<std::size_t>(options.batch), batch) > 0) {
            binding.apply(batch, request);
            try {
                request.run();
            } catch (const Error& error) {
                fail(error.status(), "rows {} to {} of '{}': {}", probabilities.size(),
                     probabilities.size() + batch.rows - 1, options.data, error.what());
            }
            const std::span<const float> scores = request.output<float>(0);
            if (scores.size() != batch.rows)
                fail(TALUS_ERROR_MODEL,
                     "the model gives {} values for {} rows; one per row is needed", scores.size(),
                     batch.rows);
            probabilities.insert(probabilities.end(), scores.begin(), scores.end());
            labels.insert(labels.end(), batch.labels.begin(), batch.labels.end());
            batch.clear();
            progress.update(probabilities.size(), reader.bytes_read(), reader.bytes_total());
        }
    }
    if (probabilities.empty())
        fail(TALUS_ERROR_DATA, "'{}' holds no rows", options.data);

    Summary summary;
    summary.model = options.model;
    summary.target = options.target;
    summary.devices = job.devices;
    summary.rows = probabilities.size();
    summary.batch = options.batch;
    if (reader.has_label()) {
        summary.auc = features::auc(probabilities, labels);
        summary.log_loss = features::log_loss(probabilities, labels);
    }
    summary.load_seconds = job.load_seconds;
    summary.run = request.stats();
    summary.recoveries = job.model.recovery_log();
    summary.operators = request.operators();
    if (!options.output.empty())
        write_predictions(options.output, probabilities);
    summary.wall_seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - job.begin).count();
    if (!options.json.empty())
        write_summary(options.json, summary);
    print_summary(summary);
    return kExitSuccess;
}

} // namespace talus::run
