/* Dispatch of host commands: each module registers its handlers in a table beside them. */
#ifndef TALUS_FIRMWARE_COMMANDS_H
#define TALUS_FIRMWARE_COMMANDS_H

#include "queues.h"

/* Checks the fields that all commands share, then runs the handler of the opcode. */
enum progress command_dispatch(struct control* control, struct queue* queue,
                               const struct command* command, struct outcome* outcome);

/* Ends a command because of its fields; repeating it can't help. */
enum progress command_refuse(struct outcome* outcome, uint16_t status);

/* True if all `count` words are zero: reserved fields. */
bool command_words_zero(const uint64_t* words, unsigned count);

/* [address, address + bytes) lies in the driver's part of LLS or DRAM. */
bool command_memory_valid(const struct control* control, uint64_t address, uint64_t bytes);

/* The same for a command of `domain`, which reads or writes it (`access`: TALUS_WINDOW_*). */
bool command_memory_allowed(const struct control* control, uint32_t domain, uint64_t address,
                            uint64_t bytes, uint32_t access);

/* Tables; an entry with a null handler ends them. */
extern const struct command_entry admin_commands[];
extern const struct command_entry copy_commands[];
extern const struct command_entry launch_commands[];

#endif
