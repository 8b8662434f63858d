# talus_options(<target>): the warnings, floating-point rule and sanitizers of all host code.
#
# -ffp-contract=off: the simulator's arithmetic is bit-exact and the references are written in plain
# C++; a compiler that fuses a*b+c on one machine and not on another would break both.
function(talus_options target)
    target_compile_options(${target} PRIVATE
        $<$<COMPILE_LANGUAGE:C,CXX>:-Wall -Wextra -Wpedantic -Werror -ffp-contract=off>)
    if(TALUS_SANITIZE)
        target_compile_options(${target} PRIVATE
            $<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=address,undefined -fno-sanitize-recover=all
            -fno-omit-frame-pointer>)
        target_link_options(${target} PRIVATE -fsanitize=address,undefined)
    endif()
endfunction()
