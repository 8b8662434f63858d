#include "commands.h"

#include "control.h"

static enum progress handle_nop(struct control* control, struct queue* queue,
                                const struct command* command, struct outcome* outcome) {
    (void)control;
    (void)queue;
    if (!command_words_zero(command->sqe.u.words, 7))
        return command_refuse(outcome, TALUS_BAD_FIELD);
    outcome->status = TALUS_OK;
    return PROGRESS_DONE;
}

static const struct command_entry nop_commands[] = {{TALUS_IO_NOP, handle_nop}, {0, 0}};

static const struct command_entry* const kAdminTables[] = {admin_commands, 0};
static const struct command_entry* const kIoTables[] = {launch_commands, copy_commands,
                                                        nop_commands, 0};

enum progress command_refuse(struct outcome* outcome, uint16_t status) {
    outcome->status = status | TALUS_STATUS_DNR;
    return PROGRESS_DONE;
}

bool command_words_zero(const uint64_t* words, unsigned count) {
    uint64_t any = 0;
    for (unsigned i = 0; i < count; ++i)
        any |= words[i];
    return any == 0;
}

static bool within(uint64_t address, uint64_t bytes, uint64_t base, uint64_t size) {
    return address >= base && address - base <= size && bytes <= size - (address - base);
}

bool command_memory_valid(const struct control* control, uint64_t address, uint64_t bytes) {
    const struct chip* chip = &control->chip;
    return within(address, bytes, chip->lls_base, chip->lls_bytes) ||
           within(address, bytes, chip->dram_base, chip->dram_bytes);
}

bool command_memory_allowed(const struct control* control, uint32_t domain, uint64_t address,
                            uint64_t bytes, uint32_t access) {
    return domain == 0 ? command_memory_valid(control, address, bytes)
                       : windows_allow(&control->windows.domain[domain], address, bytes, access);
}

enum progress command_dispatch(struct control* control, struct queue* queue,
                               const struct command* command, struct outcome* outcome) {
    const struct command_entry* const* tables =
        queue->qid == TALUS_QUEUE_ADMIN ? kAdminTables : kIoTables;
    if ((command->sqe.flags & ~TALUS_SQE_BATCH_END) != 0 || command->sqe.function != 0)
        return command_refuse(outcome, TALUS_BAD_FIELD);
    for (; *tables != 0; ++tables) {
        for (const struct command_entry* entry = *tables; entry->handle != 0; ++entry) {
            if (entry->opcode == command->sqe.opcode)
                return entry->handle(control, queue, command, outcome);
        }
    }
    return command_refuse(outcome, TALUS_BAD_OPCODE);
}
