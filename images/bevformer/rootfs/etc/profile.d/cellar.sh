# A login shell sets PATH anew; put the environment back in front.
PATH=/opt/cellar/bin${CUDA_HOME:+:$CUDA_HOME/bin}:$PATH
export PATH
